"""A generative LLM recommender that never leaves the catalog."""
