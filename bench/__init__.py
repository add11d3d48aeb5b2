"""Benchmarks: each module is one command and prints the table that docs/ quotes. Ratios within one run, no limits."""
