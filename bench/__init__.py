"""How fast it is, and where the time goes; nothing here is part of the program."""
