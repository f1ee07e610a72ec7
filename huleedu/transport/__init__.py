"""How modules speak: the promise (``protocol``), the shell that keeps it (``consumer``), and the
memory bus and outbox relay that carry messages within one process.
"""
