"""``python -m huleedu``: the same as the command ``huleedu``."""

from huleedu.cli import main

main()
