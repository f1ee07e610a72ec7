"""Spell-checking of one text, in Swedish or English.

Owns: nothing but a cache of indexes.
Hears: requests to check an essay.
Says: the result of each, whatever happened to the checker.

Nothing is imported here: the worker processes start from this package and stay small.
"""
