"""What a process owes to the one that started it."""

import multiprocessing
import os
from threading import Thread


def end_with_parent() -> None:
    """End this process as soon as the one that started it has ended, however that ended."""
    Thread(target=_end_with_parent, name="parent-watch", daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
