"""Constrained decoding: the trie, the filters, the search, one adapter a runtime."""
