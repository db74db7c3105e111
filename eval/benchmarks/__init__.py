"""Benchmarks of speed and scale; each prints a table and writes its figures as JSON."""
