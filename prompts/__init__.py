"""Jinja prompt templates and the digests of their versions; `rec_gen.prompting` renders them."""
