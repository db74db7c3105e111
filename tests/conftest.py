import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from rec_gen.data.config import DataConfig
from rec_gen.data.dataset import Dataset
from rec_gen.data.prepare import load_dataset
from rec_gen.errors import DataError

os.environ.setdefault("HF_HUB_OFFLINE", "1")
settings.register_profile("rec_gen", deadline=None)
settings.load_profile("rec_gen")


LONGEST = (
    "test_readme.py", "test_recipes.py", "test_processes.py", "test_sft.py", "test_sharding.py"
)  # fmt: skip
"""Files that begin first, so that no process works alone at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(scope="session", autouse=True)
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps caches out of the home directory."""
    with pytest.MonkeyPatch.context() as patch:
        if "RECGEN_CACHE" not in os.environ:
            patch.setenv("RECGEN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def movielens(folders: None) -> Dataset:  # noqa: ARG001
    """MovieLens-100K, where it can be had."""
    try:
        return load_dataset(DataConfig(source="movielens-100k"))
    except DataError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def several_catalogs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of several catalogs, trained for a few steps."""
    from tests.domains import named, several
    from training.sft import train

    folder = tmp_path_factory.mktemp("several")
    return train(several(folder / "data"), named("films"), folder / "run")
