"""The contract and the ground: what every module may import, and which imports no module.

Owns: messages and topics, state machines, errors, settings, clock and ids, logging, metrics.
"""
