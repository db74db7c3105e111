"""What is known of users: read, checked, counted, stored beside the interactions."""

import json
from pathlib import Path

import polars as pl
import pytest

from rec_gen.config import parse_config
from rec_gen.data.config import DataConfig, SourceName, UserTable
from rec_gen.data.dataset import USERS, Dataset
from rec_gen.data.prepare import load_dataset, prepare, summarize
from rec_gen.data.tables import read_users
from rec_gen.errors import ConfigError, DataError
from tests.data.shop import INTERACTIONS, shop

PEOPLE = "user,city,age\nv,Rome,30\nu,Oslo,\n"
RESULTS = Path(__file__).parents[2] / "eval" / "results"


def test_users_are_kept_in_the_order_of_the_data(tmp_path: Path) -> None:
    dataset = prepare(shop(tmp_path, users=PEOPLE), tmp_path / "out")
    assert dataset.user_frame is not None
    assert dataset.user_frame.columns == ["user", "city", "age"]
    assert dataset.user_frame.rows() == [("u", "Oslo", None), ("v", "Rome", "30")]
    loaded = Dataset.load(tmp_path / "out")
    assert loaded.user_frame is not None
    assert loaded.user_frame.equals(dataset.user_frame)
    assert summarize(dataset)[-1] == "nothing was left out"


def test_some_columns_of_users_can_be_kept(tmp_path: Path) -> None:
    config = shop(tmp_path, users=PEOPLE.replace("user", "who"))
    table = UserTable(path=tmp_path / "people.csv", id="who", columns=("age",))
    dataset = prepare(config.model_copy(update={"users": table}), tmp_path / "out")
    assert dataset.user_frame is not None
    assert dataset.user_frame.rows() == [("u", None), ("v", "30")]


def test_without_a_table_nothing_changes(tmp_path: Path) -> None:
    plain = prepare(shop(tmp_path), tmp_path / "plain")
    known = prepare(shop(tmp_path, users=PEOPLE), tmp_path / "known")
    other = prepare(shop(tmp_path, users=PEOPLE.replace("Rome", "Bari")), tmp_path / "other")
    assert plain.user_frame is None
    assert not (tmp_path / "plain" / USERS).exists()
    assert len({dataset.fingerprint for dataset in (plain, known, other)}) == 3
    bare = Dataset(known.catalog, known.frame, known.manifest)
    assert bare.fingerprint == plain.fingerprint


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("change", ["edit", "remove"])
def test_changed_users_are_noticed(tmp_path: Path, change: str, named: bool) -> None:
    dataset = prepare(shop(tmp_path, users=PEOPLE), tmp_path / "out")
    assert dataset.user_frame is not None
    if named:
        manifest = {**dataset.manifest, "source": "movielens-100k"}
        Dataset(dataset.catalog, dataset.frame, manifest, dataset.user_frame).save(tmp_path / "out")
        assert Dataset.load(tmp_path / "out").manifest == manifest
    if change == "edit":
        dataset.user_frame.reverse().write_parquet(tmp_path / "out" / USERS)
    else:
        (tmp_path / "out" / USERS).unlink()
    with pytest.raises(DataError, match="was changed since it was prepared"):
        Dataset.load(tmp_path / "out")


def test_cache_follows_the_table_of_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECGEN_CACHE", str(tmp_path / "cache"))
    config = shop(tmp_path, users=PEOPLE)
    load_dataset(config)
    (tmp_path / "people.csv").write_text(PEOPLE.replace("Rome", "Trieste"))
    again = load_dataset(config).user_frame
    assert again is not None
    assert again["city"].to_list() == ["Oslo", "Trieste"]


@pytest.mark.parametrize(
    ("people", "problem"),
    [
        (PEOPLE + ",Riga,40\n", "row 4, column 'user': is empty; fill it in"),
        (PEOPLE + "u,Riga,40\n", "row 4, column 'user': 'u' stands more than once; remove"),
        ("user,city\nu,Oslo\n", "user 'v' has interactions and no row; add it, or leave its"),
        ("who,city\nu,Oslo\n", "column 'user' is missing; set users.id to one of its columns"),
        ("user,city\n", "is empty; it needs a header"),
    ],
)
def test_bad_users_are_refused(tmp_path: Path, people: str, problem: str) -> None:
    with pytest.raises(DataError) as caught:
        prepare(shop(tmp_path, users=people), tmp_path / "out")
    assert str(caught.value).startswith(f"{tmp_path / 'people.csv'}: {problem}")
    assert "\n" not in str(caught.value)


def test_columns_of_users_are_checked(tmp_path: Path) -> None:
    config = shop(tmp_path, users="who,user\nu,1\nv,2\n")
    for table, problem in (
        (UserTable(path=tmp_path / "people.csv", id="who"), "metadata column 'user' has a reserv"),
        (UserTable(path=tmp_path / "people.csv", id="who", columns=("x",)), "set users.columns"),
    ):
        with pytest.raises(DataError, match=problem):
            prepare(config.model_copy(update={"users": table}), tmp_path / "out")
    with pytest.raises(ConfigError, match="users stands beside the tables"):
        parse_config(DataConfig, {"source": "movielens-100k", "users": {"path": "people.csv"}})


def test_what_does_not_fit_is_counted(tmp_path: Path) -> None:
    people = "user,city\nx,Rome\ny,Rome\nx,Bari\n,Bari\n\nu,Oslo\nw,Kyiv\n"
    sales = INTERACTIONS + "w,a,1\n"
    dataset = prepare(shop(tmp_path, sales, users=people, bad_rows="skip"), tmp_path / "out")
    assert dataset.user_frame is not None
    assert dataset.user_frame.rows() == [("u", "Oslo"), ("v", None)]
    assert summarize(dataset)[2:] == [
        "left out: 1 user: fewer than 3 interactions",
        "left out: 1 interaction: of users with fewer than 3 interactions",
        "left out: 1 user row: blank line",
        "left out: 1 user row: user id is empty",
        "left out: 1 user row: user id stands twice",
        "left out: 2 user rows: user has no interaction",
        "left out: 1 user row: of users with fewer than 3 interactions",
        "empty columns: 1 user: no row in the table of users",
    ]
    counted = json.loads((tmp_path / "out" / "dataset.json").read_text())["left_out"]["user rows"]
    assert sum(counted.values()) + 1 == len(people.splitlines()[1:])


def test_a_user_without_a_row_is_nothing_left_out(tmp_path: Path) -> None:
    config = shop(tmp_path, users="user,city\nu,Oslo\n", bad_rows="skip")
    assert summarize(prepare(config, tmp_path / "out"))[2:] == [
        "nothing was left out",
        "empty columns: 1 user: no row in the table of users",
    ]


def test_a_row_is_blank_only_where_the_whole_file_has_nothing(tmp_path: Path) -> None:
    people = tmp_path / "people.csv"
    people.write_text("user,city,mail\nu,Oslo,\n ,,\n\nv,,\n")
    rows, left_out = read_users(UserTable(path=people, columns=("city",)), "error")
    assert (rows.rows(), left_out) == ([("u", "Oslo"), ("v", None)], {"blank line": 2})
    people.write_text("user,city,mail\nu,Oslo,\n,,a@b\n")
    with pytest.raises(DataError, match=r"row 3, column 'user': is empty; fill it in"):
        read_users(UserTable(path=people, columns=("city",)), "error")


@pytest.mark.parametrize(
    ("source", "result", "users", "first"),
    [
        ("movielens-100k", "quickstart.json", 943, ("1", 24, "M", "technician", "85711")),
        ("movielens-1m", None, 6040, ("1", 1, "F", "K-12 student", "48067")),
    ],
)
def test_movielens_knows_its_users_and_keeps_its_fingerprint(
    source: SourceName, result: str | None, users: int, first: tuple[object, ...]
) -> None:
    try:
        dataset = load_dataset(DataConfig(source=source))
    except DataError as error:
        pytest.skip(str(error))
    frame = dataset.user_frame
    assert frame is not None
    assert frame["user"].to_list() == dataset.users
    assert len(frame) == users
    assert frame.row(by_predicate=pl.col("user") == "1") == first
    assert frame["occupation"].n_unique() == 21
    assert Dataset(dataset.catalog, dataset.frame, {}).fingerprint == dataset.fingerprint
    if result:
        published = json.loads((RESULTS / result).read_text(encoding="utf-8"))
        assert dataset.fingerprint == published["fingerprint"]
