"""Jinja prompt templates, one file a task; `rec_gen.prompting` renders them."""
