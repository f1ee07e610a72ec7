"""What a deployment over a broker withstands: broken on purpose, counted, and told in a table.

``python -m tests.faults`` (``make faults``) runs every row in full; the tests beside it run the
same with small numbers.
"""
