from pathlib import Path

import polars as pl
import pytest
import torch

from rec_gen.catalog import Catalog
from rec_gen.catalogs import named_tries
from rec_gen.domains import TRIE
from rec_gen.errors import BundleError, ConfigError
from rec_gen.testing import random_bundle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    titles = {"item": ["a", "b"], "title": ["Alien", "Aliens"]}
    bundle = random_bundle(Catalog(pl.DataFrame(titles)), "title")
    bundle.save(tmp_path / "films")
    bundle.trie.save(tmp_path / "books.safetensors")
    return tmp_path


def test_loads_bundles_and_tries_by_name(folder: Path) -> None:
    by_name = named_tries(f"movies={folder / 'films'}, books = {folder / 'books.safetensors'}")
    assert list(by_name) == ["movies", "books"]
    assert torch.equal(by_name["movies"].token, by_name["books"].token)
    assert sorted(named_tries(str(folder))) == ["books", "films"]
    assert named_tries("") == {}


def test_refuses_what_it_cannot_read(folder: Path) -> None:
    for setting, message in (
        ("movies", "no folder of bundles"),
        (str(folder / "films"), "write NAME=PATH"),
        ("movies=", "is no NAME=PATH"),
        (f"m={folder / 'films'},m={folder / 'films'}", "named twice"),
    ):
        with pytest.raises(ConfigError, match=message):
            named_tries(setting)
    (folder / "films.safetensors").write_bytes((folder / "books.safetensors").read_bytes())
    with pytest.raises(ConfigError, match="the same name"):
        named_tries(str(folder))


def test_refuses_a_damaged_bundle(folder: Path) -> None:
    file = folder / "films" / TRIE
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(BundleError):
        named_tries(f"movies={folder / 'films'}")
