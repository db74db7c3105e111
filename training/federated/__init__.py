"""Adapters that are trained where the data lives, on Flower."""
