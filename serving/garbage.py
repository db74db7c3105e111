"""Python's search for garbage, kept short."""

import gc


def spare_what_is_loaded() -> None:
    """Never search what is in memory now, which is there to stay.

    With torch and transformers loaded that is half a million objects, and a full search, which
    comes every few minutes under load, holds up everything for about half a second.
    """
    gc.collect()
    gc.freeze()
