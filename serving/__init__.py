"""Serving a bundle to other programs."""
