"""The named data sets: where each is found and how it is read."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rec_gen.data.amazon import read_beauty, read_industrial
from rec_gen.data.config import SourceName
from rec_gen.data.download import obtain
from rec_gen.data.movielens import (
    ARCHIVES_1M,
    ARCHIVES_100K,
    read_1m,
    read_100k,
    read_latest_small,
)
from rec_gen.data.opendialkg import read_opendialkg
from rec_gen.data.tables import Tables
from rec_gen.errors import DataError
from rec_gen.files import cache_folder


@dataclass(frozen=True)
class Source:
    """A named data set.

    Attributes:
        locate: Finds its file or folder, and fetches a file that is not there.
        read: Reads what was found.
    """

    locate: Callable[[], Path]
    read: Callable[[Path], Tables]


def find_folder(name: SourceName) -> Path:
    """The folder of a data set that cannot be fetched.

    Raises:
        DataError: It is in neither place.
    """
    places = [cache_folder() / "sources" / name]
    if root := os.environ.get("RECGEN_DATA"):
        places.insert(0, Path(root) / name)
    for place in places:
        if place.is_dir():
            return place
    first = places[0] if root else f"$RECGEN_DATA/{name} (RECGEN_DATA is not set)"
    raise DataError(f"{name}: is not there; put its folder at {first} or at {places[-1]}")


SOURCES: dict[SourceName, Source] = {
    "movielens-100k": Source(partial(obtain, "movielens-100k", ARCHIVES_100K), read_100k),
    "movielens-1m": Source(partial(obtain, "movielens-1m", ARCHIVES_1M), read_1m),
    "ml-latest-small": Source(partial(find_folder, "ml-latest-small"), read_latest_small),
    "amazon2014-beauty": Source(partial(find_folder, "amazon2014-beauty"), read_beauty),
    "minionerec-industrial": Source(partial(find_folder, "minionerec-industrial"), read_industrial),
    "opendialkg": Source(partial(find_folder, "opendialkg"), read_opendialkg),
}
