"""Each kind of bad input is refused in one line that names file, row, column and the mend."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from rec_gen.data.config import DataConfig, InteractionTable, ItemTable
from rec_gen.data.prepare import prepare
from rec_gen.errors import DataError
from tests.data.shop import INTERACTIONS, ITEMS, shop

SALES = "user,item,time,stars\nu,a,1,5\nu,b,2,4\nu,c,3,5\nv,c,1,1\nv,b,2,2\nv,a,3,3\n"


def refusal(config: DataConfig, tmp_path: Path) -> str:
    with pytest.raises(DataError) as caught:
        prepare(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("old", "new", "row", "column", "problem"),
    [
        ("u,b,2,4", "u,b,soon,4", 3, "time", "'soon' is not Unix time in seconds or an ISO"),
        ("u,b,2,4", "u,b,2024-02-30,4", 3, "time", "'2024-02-30' is not"),
        ("u,b,2,4", "u,b,nan,4", 3, "time", "'nan' is not"),
        ("u,b,2,4", "u,b,,4", 3, "time", "is empty"),
        ("u,b,2,4", "u,b,1600000000000,4", 2, "time", "'1' is not Unix time in milliseconds"),
        ("v,a,3,3", "v,a,3,good", 7, "stars", "'good' is not a number"),
        ("v,a,3,3", "v,a,3,inf", 7, "stars", "'inf' is not a number"),
        ("v,a,3,3", "v,a,3", 7, "stars", "is empty"),
        ("v,c,1,1", "v,x,1,1", 5, "item", "item 'x' is not in the table of items"),
        ("v,c,1,1", '"v","x\ny",1,1', 5, "item", "item 'x y' is not in the table of items"),
        ("v,c,1,1", "v, ,1,1", 5, "item", "is empty"),
        ("v,c,1,1", ",c,1,1", 5, "user", "is empty"),
        ("v,c,1,1", '"",c,1,1', 5, "user", "is empty"),
    ],
)
def test_bad_interaction(
    tmp_path: Path, old: str, new: str, row: int, column: str, problem: str
) -> None:
    config = shop(tmp_path, SALES.replace(old, new), columns={"rating": "stars"})
    message = refusal(config, tmp_path)
    assert message.startswith(f"{tmp_path / 'sales.csv'}: row {row}, column '{column}': {problem}")
    assert 'bad_rows = "skip"' in message


@pytest.mark.parametrize(
    ("old", "new", "row", "column", "problem"),
    [
        ("b,Bucket", "b,", 3, "title", "is empty"),
        ("b,Bucket", "b,  ", 3, "title", "is empty"),
        ("b,Bucket", ",Bucket", 3, "item", "is empty"),
        ("b,Bucket", "a,Bucket", 3, "item", "'a' stands more than once"),
        ("Acme\nb,Bucket", '"Ac\nme"\nb,', 4, "title", "is empty"),
    ],
)
def test_bad_item(tmp_path: Path, old: str, new: str, row: int, column: str, problem: str) -> None:
    message = refusal(shop(tmp_path, items=ITEMS.replace(old, new, 1)), tmp_path)
    assert message.startswith(f"{tmp_path / 'goods.csv'}: row {row}, column '{column}': {problem}")


@pytest.mark.parametrize("bad_rows", ["error", "skip"])
@pytest.mark.parametrize(
    ("content", "row", "problem"),
    [
        (INTERACTIONS.replace("v,b", "é,b").encode("latin-1"), 6, "is not UTF-8"),
        (INTERACTIONS.encode("utf-16"), 1, "is not UTF-8"),
        (INTERACTIONS.replace("u,b", "u,b,c"), 3, "has 4 fields, the header has 3"),
        (INTERACTIONS.replace("v,b", '"v,b'), 6, "is malformed"),
        (INTERACTIONS.replace("v,b", '"v"w,b'), 6, "is malformed"),
        ("", None, "is empty"),
        ("user,item,time\n", None, "is empty"),
    ],
)
def test_broken_file(
    tmp_path: Path, content: str | bytes, row: int | None, problem: str, bad_rows: str
) -> None:
    message = refusal(shop(tmp_path, content, bad_rows=bad_rows), tmp_path)
    place = f"row {row}: " if row else ""
    assert message.startswith(f"{tmp_path / 'sales.csv'}: {place}{problem}")


def test_missing_column(tmp_path: Path) -> None:
    message = refusal(shop(tmp_path, columns={"user": "shopper"}), tmp_path)
    assert message == (
        f"{tmp_path / 'sales.csv'}: column 'shopper' is missing; "
        "set interactions.user to one of its columns ('user', 'item', 'time')"
    )


def test_missing_metadata_column(tmp_path: Path) -> None:
    items = ItemTable(path=tmp_path / "goods.csv", columns=("price",))
    message = refusal(shop(tmp_path).model_copy(update={"items": items}), tmp_path)
    assert message.startswith(f"{items.path}: column 'price' is missing; set items.columns")


def test_repeated_column(tmp_path: Path) -> None:
    message = refusal(shop(tmp_path, INTERACTIONS.replace("time", "item", 1)), tmp_path)
    assert message.startswith(f"{tmp_path / 'sales.csv'}: row 1, column 'item': stands twice")


def test_reserved_column(tmp_path: Path) -> None:
    config = shop(tmp_path, items=ITEMS.replace("title,brand", "name,title"))
    items = ItemTable(path=tmp_path / "goods.csv", title="name")
    message = refusal(config.model_copy(update={"items": items}), tmp_path)
    assert message.startswith(f"{tmp_path / 'goods.csv'}: metadata column 'title'")


def test_missing_file(tmp_path: Path) -> None:
    config = shop(tmp_path)
    (tmp_path / "sales.csv").unlink()
    assert refusal(config, tmp_path).startswith(f"{tmp_path / 'sales.csv'}: there is no such file")


def test_unknown_kind_of_file(tmp_path: Path) -> None:
    config = shop(tmp_path)
    path = (tmp_path / "sales.csv").rename(tmp_path / "sales.xlsx")
    config = config.model_copy(update={"interactions": InteractionTable(path=path)})
    assert refusal(config, tmp_path).startswith(f"{path}: is no .csv, .tsv or .parquet file")


@pytest.mark.parametrize(
    ("column", "values", "problem"),
    [
        ("user", [0.5, 1.5, 2.5], "column 'user' is Float64; write it as text or integers"),
        ("time", [True, False, True], "column 'time' is Boolean; write it as Unix time"),
        ("stars", ["1", "2", "x"], "row 3, column 'stars': 'x' is not a number"),
        ("stars", [[1], [2], [3]], "column 'stars' is List(Int64); write it as numbers"),
    ],
)
def test_bad_parquet(tmp_path: Path, column: str, values: list[Any], problem: str) -> None:
    path = tmp_path / "sales.parquet"
    columns = {"user": [1, 1, 1], "item": ["a", "b", "c"], "time": [1, 2, 3], "stars": [1, 2, 3]}
    pl.DataFrame({**columns, column: values}).write_parquet(path)
    table = InteractionTable(path=path, rating="stars")
    message = refusal(shop(tmp_path).model_copy(update={"interactions": table}), tmp_path)
    assert message.startswith(f"{path}: {problem}")


def test_file_that_is_no_parquet(tmp_path: Path) -> None:
    path = tmp_path / "sales.parquet"
    path.write_text(INTERACTIONS)
    config = shop(tmp_path).model_copy(update={"interactions": InteractionTable(path=path)})
    assert refusal(config, tmp_path).startswith(f"{path}: cannot be read")


GIVEN = "user,item,time,part\nu,a,1,train\nu,b,2,valid\nu,c,3,test\nv,c,1,train\n"


def test_bad_split_name(tmp_path: Path) -> None:
    split = {"kind": "given", "column": "part"}
    message = refusal(shop(tmp_path, GIVEN.replace("valid", "dev"), split=split), tmp_path)
    problem = "'dev' is not one of context, train, valid, test"
    assert message.startswith(f"{tmp_path / 'sales.csv'}: row 3, column 'part': {problem}")


def test_split_that_is_empty(tmp_path: Path) -> None:
    split = {"kind": "given", "column": "part"}
    message = refusal(shop(tmp_path, GIVEN.replace("valid", "train"), split=split), tmp_path)
    assert message.startswith("shop: split given: no interaction falls into valid")


def test_training_after_test(tmp_path: Path) -> None:
    split = {"kind": "given", "column": "part"}
    sales = GIVEN + "u,b,9,train\n"
    message = refusal(shop(tmp_path, sales, split=split), tmp_path)
    assert message.startswith("shop: user 'u': item 'b' comes after one of a later split")
    kept = prepare(shop(tmp_path, sales, split=split, bad_rows="skip"), tmp_path / "out")
    assert kept.manifest["counts"]["interactions"] == 4
    assert kept.manifest["left_out"]["interactions"] == {"comes after one of a later split": 1}
    early = "user,item,time,part\nu,a,1,test\nu,b,2,train\nv,a,1,valid\nv,b,2,train\n"
    with pytest.raises(DataError, match="shop: split given: no interaction falls into train"):
        prepare(shop(tmp_path, early, split=split, bad_rows="skip"), tmp_path / "none")


def test_all_users_too_short(tmp_path: Path) -> None:
    message = refusal(shop(tmp_path, min_interactions=4), tmp_path)
    assert message.startswith("shop: no user has 4 interactions or more; give more, or lower")


def test_all_rows_bad(tmp_path: Path) -> None:
    sales = "user,item,time\nu,x,1\n"
    message = refusal(shop(tmp_path, sales, bad_rows="skip"), tmp_path)
    assert message.startswith("shop: no user has 3 interactions or more")


def test_folder_with_other_things(tmp_path: Path) -> None:
    config = shop(tmp_path)
    with pytest.raises(DataError, match="is not a prepared data set; choose another folder"):
        prepare(config, tmp_path)
    assert (tmp_path / "sales.csv").exists()


@pytest.mark.parametrize("bad_rows", ["error", "skip"])
@pytest.mark.parametrize("before", [0, 1, 3])
def test_stray_quote_names_its_row(tmp_path: Path, before: int, bad_rows: str) -> None:
    rows = [f"i{row},Nut" for row in range(before)]
    items = "\n".join(["item,title", *rows, 'a,3/8" bolt', "b,Bolt", ""])
    message = refusal(shop(tmp_path, INTERACTIONS, items, bad_rows=bad_rows), tmp_path)
    assert f"row {before + 2}: holds a stray" in message
    assert "double the one inside" in message
