"""Recommendations for a whole table of users, in parts that are done exactly once."""
