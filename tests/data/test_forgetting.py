"""A forgotten user is nowhere in prepared data, and all others are as they were."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_gen.data.dataset import Dataset
from rec_gen.data.forgetting import cached_copies, forget_user, leftovers, own_rows
from rec_gen.data.prepare import prepare, summarize
from rec_gen.errors import DataError
from tests.data.shop import shop
from tests.toy import toy_dataset

PEOPLE = "user,note\nu,likes anvils\nv,unforgettable words\n"


def saved(folder: Path) -> Path:
    folder.mkdir()
    toy_dataset().save(folder)
    return folder


def test_no_byte_of_the_user_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    sales = "user,item,time\nu,a,1\nu,b,2\nu,c,3\nv-0815,c,1\nv-0815,b,2\nv-0815,a,3\n"
    config = shop(tmp_path, sales, users=PEOPLE.replace("v,", "v-0815,"))
    before = prepare(config, folder)
    found = forget_user(folder, ["v-0815"])
    assert (found.interactions, found.before) == (3, before.fingerprint)
    after = Dataset.load(folder)
    assert after.users == ["u"]
    assert after.fingerprint == found.fingerprint != before.fingerprint
    for file in folder.iterdir():
        assert b"v-0815" not in file.read_bytes()
        assert b"unforgettable" not in file.read_bytes()
    assert after.manifest["forgotten"] == {"users": 1, "fingerprints": [before.fingerprint]}
    assert after.manifest["counts"]["interactions"] == 3
    assert summarize(after)[-1] == "forgotten since it was prepared: 1 user"
    assert [path.name for path, _ in own_rows(config, "v-0815")] == ["sales.csv", "people.csv"]
    assert [rows for _, rows in own_rows(config, "v-0815")] == [3, 1]
    assert list(own_rows(config, "w")) == []


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 23), min_size=1, max_size=4, unique=True))
def test_others_are_as_they_were_and_twice_is_once(
    tmp_path_factory: pytest.TempPathFactory, gone: list[int]
) -> None:
    folder = saved(tmp_path_factory.mktemp("data") / "toy")
    before = Dataset.load(folder)
    for user in gone:
        found = forget_user(folder, [f"u{user}"])
    once = (folder / "dataset.json").read_bytes()
    assert forget_user(folder, [f"u{gone[-1]}"]).former == found.former
    assert (folder / "dataset.json").read_bytes() == once
    after, names = Dataset.load(folder), {f"u{user}" for user in gone}
    expected = before.frame.filter(~pl.col("user").is_in(list(names)))
    assert after.frame.equals(expected)
    assert after.manifest["forgotten"]["users"] == len(names) == len(found.former)


def test_several_are_forgotten_at_once(tmp_path: Path) -> None:
    folder = saved(tmp_path / "toy")
    users = [f"u{number}" for number in range(8)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda user: forget_user(folder, [user]), users))
    assert [one.interactions for one in found] == [9] * 8
    assert set(Dataset.load(folder).users).isdisjoint(users)
    assert leftovers(folder) == []


def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    folder = saved(tmp_path / "toy")
    kept = {file: file.read_bytes() for file in folder.iterdir()}
    found = forget_user(folder, ["u3"], dry_run=True)
    assert (found.interactions, found.former) == (9, (found.before,))
    assert {file: file.read_bytes() for file in folder.iterdir()} == kept


def test_what_cannot_be_written_anew_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    prepare(shop(tmp_path, "user,item,time\nu,a,1\nu,b,2\nu,c,3\n"), folder)
    with pytest.raises(DataError, match="holds nobody else; delete the folder"):
        forget_user(folder, ["u"])
    toy = saved(tmp_path / "toy")
    (toy / "notes.txt").write_text("u3")
    with pytest.raises(DataError, match=r"notes\.txt: is no part of the prepared data"):
        forget_user(toy, ["u3"])


def test_copies_and_leftovers_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECGEN_CACHE", str(tmp_path))
    (tmp_path / "prepared").mkdir()
    folder = saved(tmp_path / "prepared" / "toy-1")
    assert list(cached_copies("toy")) == [folder]
    assert list(cached_copies("other")) == []
    (folder.parent / ".toy-1.99.partial").mkdir()
    assert [each.name for each in leftovers(folder)] == [".toy-1.99.partial"]
