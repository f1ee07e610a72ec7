"""The whole program under a simulated world: every run follows from one seed.

The modules, the shell around them, the memory bus and the Kafka transport are the real ones, the
stores are SQLite files.  Simulated are time, threads, processes, identifiers, the broker and what
goes wrong: ``python -m tests.simulation --help``.
"""
