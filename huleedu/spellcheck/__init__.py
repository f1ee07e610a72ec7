"""Spell-checking of one text, in Swedish or English.

Owns: nothing but a cache of indexes.  Hears: requests to check an essay.  Says: its result.
"""
