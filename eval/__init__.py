"""Measuring: protocols, metrics with intervals, counted baselines and reports."""
