"""Tables are masked before they are split and stored, and only where that is asked for."""

import re
import tomllib
from pathlib import Path

import polars as pl
import pytest

from rec_gen.data.config import DataMasking
from rec_gen.data.dataset import Dataset
from rec_gen.data.prepare import cached_folder, load_dataset, prepare, summarize
from rec_gen.errors import ConfigError
from rec_gen.masking import PLACEHOLDERS
from rec_gen.pseudonyms import pseudonym
from tests.data.shop import shop

PEOPLE = "user,city,note\nu,Ulm,call +49 30 901820\nv,Rome,ann@example.com or bob@example.com\n"
ITEMS = "item,title,brand\na,Anvil,Acme\nb,Mail me@shop.example,Acme\nc,10.0.0.1,\n"


def test_nothing_is_masked_unless_asked_for(tmp_path: Path) -> None:
    config = shop(tmp_path, users=PEOPLE)
    key = cached_folder(config).name
    assert "mask" in config.model_dump()
    dataset = prepare(config, tmp_path / "out")
    assert "masked" not in dataset.manifest
    assert dataset.user_frame is not None
    assert "ann@example.com" in dataset.user_frame["note"][1]
    assert cached_folder(shop(tmp_path, users=PEOPLE, mask={})).name != key


def test_texts_of_users_are_masked_and_counted(tmp_path: Path) -> None:
    dataset = prepare(shop(tmp_path, users=PEOPLE, mask={}), tmp_path / "out")
    again = Dataset.load(tmp_path / "out")
    assert again.user_frame is not None
    assert again.user_frame.rows() == [
        ("u", "Ulm", "call [phone-number]"),
        ("v", "Rome", "[email-address] or [email-address]"),
    ]
    assert again.manifest["masked"] == {
        "users.city": {},
        "users.note": {"EMAIL_ADDRESS": 2, "PHONE_NUMBER": 1},
    }
    assert summarize(dataset)[-2:] == [
        "masked in users.city: nothing was found",
        "masked in users.note: 2 EMAIL_ADDRESS, 1 PHONE_NUMBER",
    ]


def test_titles_are_masked_on_request_only(tmp_path: Path) -> None:
    kept = prepare(shop(tmp_path, items=ITEMS, users=PEOPLE, mask={}), tmp_path / "kept")
    assert kept.catalog.titles == ["Anvil", "Mail me@shop.example", "10.0.0.1"]
    masked = prepare(shop(tmp_path, items=ITEMS, mask={"items": ["title"]}), tmp_path / "masked")
    assert masked.catalog.titles == ["Anvil", "Mail [email-address]", "[ip-address]"]
    assert kept.fingerprint != masked.fingerprint


def test_a_mask_without_any_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"mask: the users have no text: name columns in mask\.it"
    ):
        prepare(shop(tmp_path, mask={}), tmp_path / "out")


def test_lists_of_texts_keep_their_shape(tmp_path: Path) -> None:
    config = shop(tmp_path, users=PEOPLE, mask={})
    said = [["hi", "mine is ann@example.com", "ann@example.com"], []]
    people = pl.DataFrame({"user": ["u", "v"], "utterances": said})
    path = tmp_path / "people.parquet"
    people.write_parquet(path)
    assert config.users is not None
    config = config.model_copy(update={"users": config.users.model_copy(update={"path": path})})
    dataset = prepare(config, tmp_path / "out")
    assert dataset.user_frame is not None
    assert dataset.user_frame["utterances"].to_list() == [
        ["hi", "mine is [email-address]", "[email-address]"],
        [],
    ]
    assert dataset.manifest["masked"] == {"users.utterances": {"EMAIL_ADDRESS": 2}}


def test_users_get_pseudonyms_under_a_key(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(bytes(range(32)))
    config = shop(tmp_path, users=PEOPLE, mask={"user_key": str(key), "users": []})
    dataset = load_dataset(config)
    assert sorted(dataset.users) == sorted(pseudonym(user, key.read_bytes()) for user in "uv")
    assert dataset.user_frame is not None
    assert dataset.user_frame["city"].sort().to_list() == ["Rome", "Ulm"]
    before = cached_folder(config)
    key.write_bytes(bytes(range(1, 33)))
    assert cached_folder(config) != before
    key.write_bytes(b"short")
    with pytest.raises(ConfigError, match=r"key: holds 5 bytes: a key of pseudonyms needs 32"):
        load_dataset(config)


def test_pseudonyms_stand_beside_a_column_called_id(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(bytes(32))
    people = "user,id,city\nu,111,Ulm\nv,222,Rome\n"
    mask = {"user_key": str(tmp_path / "key"), "users": []}
    dataset = prepare(shop(tmp_path, users=people, mask=mask), tmp_path / "out")
    assert dataset.user_frame is not None
    assert dataset.user_frame.columns == ["user", "id", "city"]
    assert set(dataset.user_frame["user"]) == {pseudonym(user, bytes(32)) for user in "uv"}
    assert sorted(dataset.user_frame["id"].cast(pl.Int64)) == [111, 222]


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ({"users": ["phone"]}, r"mask\.users: 'phone' is no column of text; there are city, note"),
        ({"users": ["user"]}, r"mask\.users: 'user' is no column of text"),
        ({"items": ["item"]}, r"mask\.items: 'item' is no column of text; there are title, brand"),
        ({"names": "no_such_model"}, r"mask\.names: the spaCy model 'no_such_model' is not inst"),
    ],
)
def test_what_cannot_be_masked_is_told(
    tmp_path: Path, mask: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        prepare(shop(tmp_path, users=PEOPLE, mask=mask), tmp_path / "out")


def test_the_page_shows_every_key() -> None:
    page = (Path(__file__).parents[2] / "docs" / "personal-data.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```toml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    table = tomllib.loads(re.sub(r"^# ", "", block, flags=re.MULTILINE))
    assert set(DataMasking.model_validate(table["mask"]).model_fields_set) == set(
        DataMasking.model_fields
    )
    assert all(f"| `{kind}` | `{text}` |" in page for kind, text in PLACEHOLDERS.items())
