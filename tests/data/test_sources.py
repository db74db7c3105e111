"""The named data sets, where they can be had."""

import shutil
from collections import defaultdict
from pathlib import Path
from zipfile import ZipFile

import polars as pl
import pytest

from rec_gen.data.amazon import read_industrial
from rec_gen.data.config import DataConfig, SourceName
from rec_gen.data.dataset import Dataset, Split
from rec_gen.data.download import Archive
from rec_gen.data.movielens import ARCHIVES_100K, read_100k
from rec_gen.data.opendialkg import read_opendialkg
from rec_gen.data.prepare import load_dataset
from rec_gen.data.sources import SOURCES, find_folder
from rec_gen.errors import DataError

FLAGS = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime",
    "Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance",
    "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip


def locate(source: SourceName) -> Path:
    try:
        return SOURCES[source].locate()
    except DataError as error:
        pytest.skip(str(error))


def load(source: SourceName) -> Dataset:
    locate(source)
    return load_dataset(DataConfig(source=source))


@pytest.mark.parametrize(
    ("source", "users", "items", "splits"),
    [
        ("movielens-100k", 943, 1682, (0, 98114, 943, 943)),
        ("movielens-1m", 6040, 3883, (0, 988129, 6040, 6040)),
        ("ml-latest-small", 610, 9742, (0, 99616, 610, 610)),
        ("amazon2014-beauty", 22363, 12101, (0, 153776, 22363, 22363)),
        ("minionerec-industrial", 7694, 3686, (7694, 36259, 4532, 4533)),
        ("opendialkg", 7921, 2965, (9226, 5893, 1253, 1261)),
    ],
)
def test_counts(source: SourceName, users: int, items: int, splits: tuple[int, ...]) -> None:
    dataset = load(source)
    counts = dict(dataset.manifest["counts"])
    assert (counts.pop("users"), counts.pop("items")) == (users, items)
    assert counts.pop("interactions") == sum(splits) == len(dataset.frame)
    assert tuple(counts.get(name, 0) for name in Split) == splits


@pytest.mark.parametrize("source", ["movielens-100k", "movielens-1m"])
def test_movielens_titles_carry_the_year(source: SourceName) -> None:
    titles = load(source).catalog.frame["title"]
    undated = titles.filter(~titles.str.contains(r" \(\d{4}\)"))
    assert undated.to_list() == (["unknown"] if source == "movielens-100k" else [])


def test_movielens_titles_at_the_edge() -> None:
    catalog = load("movielens-100k").catalog
    titles = dict(zip(catalog.ids, catalog.titles, strict=True))
    assert titles["50"] == "Star Wars (1977)"
    assert titles["1412"] == "Land Before Time III: The Time of the Great Giving (1995) (V)"
    assert titles["1633"] == "Á köldum klaka (Cold Fever) (1994)"
    assert catalog[0].fields["genres"] == ["Animation", "Children's", "Comedy"]


def test_official_movielens_reads_alike(tmp_path: Path) -> None:
    wheel = read_100k(locate("movielens-100k"))
    films = []
    for film in wheel.catalog:
        flags = [str(int(genre in film.fields["genres"])) for genre in FLAGS]
        films.append("|".join([film.id, film.title, "01-Jan-1995", "", "http://x", *flags]))
    ids = pl.Series(wheel.catalog.ids)
    ratings = wheel.interactions.select(
        "user",
        ids.gather(wheel.interactions["item"]).alias("item"),
        pl.col("rating").cast(pl.Int32),
        pl.col("time") // 1_000_000,
    )
    users = wheel.users
    assert users is not None
    path = tmp_path / "ml-100k.zip"
    with ZipFile(path, "w") as archive:
        archive.writestr("ml-100k/u.item", ("\n".join(films) + "\n").encode("latin-1"))
        archive.writestr("ml-100k/u.user", users.write_csv(separator="|", include_header=False))
        archive.writestr("ml-100k/u.data", ratings.write_csv(separator="\t", include_header=False))
    official = read_100k(path)
    assert official.catalog.fingerprint == wheel.catalog.fingerprint
    assert official.interactions.equals(wheel.interactions)
    assert official.users is not None
    assert official.users.equals(users)


def test_movielens_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECGEN_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(DataError) as caught:
        load_dataset(DataConfig(source="movielens-100k"))
    message, folder = str(caught.value), tmp_path / "sources" / "movielens-100k"
    assert message.startswith("movielens-100k: cannot be downloaded; put recbole-1.2.1-py3-none")
    assert message.endswith(f"into {folder}")
    assert "\n" not in message
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("archive", ARCHIVES_100K, ids=lambda archive: archive.name)
def test_another_archive_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archive: Archive
) -> None:
    monkeypatch.setenv("RECGEN_CACHE", str(tmp_path))
    path = tmp_path / "sources" / "movielens-100k" / archive.name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"another file")
    with pytest.raises(DataError, match="is not the expected file"):
        load_dataset(DataConfig(source="movielens-100k"))


def test_absent_folder_names_both_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECGEN_DATA", str(tmp_path))
    monkeypatch.setenv("RECGEN_CACHE", str(tmp_path / "cache"))
    with pytest.raises(DataError) as caught:
        load_dataset(DataConfig(source="opendialkg"))
    places = f"{tmp_path / 'opendialkg'} or at {tmp_path / 'cache' / 'sources' / 'opendialkg'}"
    assert str(caught.value) == f"opendialkg: is not there; put its folder at {places}"


def test_folder_in_the_cache_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECGEN_CACHE", str(tmp_path))
    monkeypatch.delenv("RECGEN_DATA", raising=False)
    folder = tmp_path / "sources" / "opendialkg"
    folder.mkdir(parents=True)
    assert find_folder("opendialkg") == folder


def test_beauty_without_titles() -> None:
    catalog = load("amazon2014-beauty").catalog
    assert catalog[catalog.position("1454")].title == "brand na price n"


def test_industrial_histories_are_rebuilt() -> None:
    folder = locate("minionerec-industrial")
    dataset = load("minionerec-industrial")
    ids = dataset.catalog.ids
    for split in (Split.VALID, Split.TEST):
        expected = sorted((folder / f"{split}.tsv").read_text().splitlines()[1:])
        rebuilt = [
            (e.user, " ".join(ids[place] for place in e.history[-10:]), ids[e.target])
            for e in dataset.examples(split)
        ]
        assert sorted("\t".join(row) for row in rebuilt) == expected


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("b\t3 2\t1", "column 'history': does not continue the earlier rows of user 'b'"),
        ("c\t\t1", "column 'history': does not continue"),
        ("b\t1 2\t9", "column 'target': item '9' is not in items.csv"),
        ("c\t9\t1", "column 'history': item '9' is not in items.csv"),
        ("b\t1 2", "has not three columns"),
    ],
)
def test_industrial_row_that_does_not_fit(tmp_path: Path, text: str, place: str) -> None:
    items = "item_id,title,brand,description\n1,A,,\n2,B,,\n3,C,,\n"
    (tmp_path / "items.csv").write_text(items)
    header = "user_id\thistory\ttarget\n"
    (tmp_path / "train.tsv").write_text(f"{header}b\t1\t2\n")
    (tmp_path / "valid.tsv").write_text(header)
    (tmp_path / "test.tsv").write_text(f"{header}a\t1\t2\n{text}\n")
    with pytest.raises(DataError) as caught:
        read_industrial(tmp_path)
    place = f"{tmp_path / 'test.tsv'}: row 3{', ' if 'column ' in place else ': '}{place}"
    assert str(caught.value).startswith(place)
    assert str(caught.value).endswith("; restore the file")


def test_opendialkg_turns() -> None:
    dataset = load("opendialkg")
    titles = dataset.catalog.titles
    examples = defaultdict(list)
    for example in dataset.examples(Split.TEST):
        examples[example.user].append(example)
    (example,) = examples["3-1"]
    assert [titles[place] for place in example.history] == ["Fight Club (1996)"]
    assert titles[example.target] == "Panic Room (2002)"


def test_opendialkg_turn_that_does_not_fit(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(locate("opendialkg"), tmp_path / "opendialkg"))
    with (folder / "valid.jsonl").open("a") as file:
        file.write('{"dialog_id": 1, "turn_id": 2}\n')
    with pytest.raises(DataError) as caught:
        read_opendialkg(folder)
    place = f"{folder / 'valid.jsonl'}: row 1189: is no recommending turn"
    assert str(caught.value).startswith(place)


def test_split_of_ones_own_on_a_source() -> None:
    locate("minionerec-industrial")
    config = DataConfig.model_validate(
        {"source": "minionerec-industrial", "split": {"kind": "leave-one-out"}}
    )
    counts = load_dataset(config).manifest["counts"]
    assert counts["test"] == counts["valid"] == counts["users"]


def test_split_that_needs_times() -> None:
    locate("amazon2014-beauty")
    config = DataConfig.model_validate(
        {"source": "amazon2014-beauty", "split": {"kind": "global-time"}}
    )
    with pytest.raises(DataError, match="amazon2014-beauty: has no times; set split"):
        load_dataset(config)
