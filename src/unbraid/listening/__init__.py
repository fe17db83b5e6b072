"""Blind listening tests of separators: what is heard, in which order, and what became of it."""
