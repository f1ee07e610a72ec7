"""One SQLite file a module: a single writer with group commit, readers apart.

Owns: transactions, migrations, the outbox, the record of what was handled.
"""
