"""Comparison of searchers on tables of trained architectures: ``python -m search.benchmark``."""
