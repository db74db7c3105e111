from pathlib import Path

import pytest

from rec_gen.config import Config, load_config, parse_config
from rec_gen.errors import ConfigError


class Inner(Config):
    size: int = 1
    rate: float = 0.5


class Other(Config):
    rate: float = 0.1


class Outer(Config):
    name: str
    inner: Inner = Inner()
    other: Other = Other()


def test_overrides_are_toml_values_or_plain_text(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('name = "a"\n[inner]\nsize = 2\n')
    loaded = load_config(Outer, file, ["name=b c", "inner.size=3", "other.rate=1e-3"])
    assert loaded == Outer(name="b c", inner=Inner(size=3), other=Other(rate=0.001))


def test_a_key_that_one_table_has_needs_no_table() -> None:
    assert parse_config(Outer, {"name": "a"}, ["size=7"]).inner.size == 7
    with pytest.raises(ConfigError, match=r"write inner\.rate or other\.rate"):
        parse_config(Outer, {"name": "a"}, ["rate=1"])


def test_of_two_keys_one_is_a_value_and_one_a_table() -> None:
    class Holder(Config):
        size: Inner | None = None

    class Both(Config):
        inner: Inner = Inner()
        holder: Holder = Holder()

    assert parse_config(Both, {}, ["size=7"]) == Both(inner=Inner(size=7))
    found = parse_config(Both, {}, ["size.rate=0.2"])
    assert found == Both(holder=Holder(size=Inner(rate=0.2)))


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        ('name = "a"\nsiez = 1', [], "key 'siez': Extra inputs"),
        ("", [], "key 'name': Field required"),
        ('name = "a"\n[inner]\nsize = "x"', [], "key 'inner.size'"),
        ("name = ", [], "is not valid TOML"),
        ('name = "a"', ["size"], "write it as key=value"),
        ('name = "a"', ["name.x=1"], "'name' is not a table"),
        ('name = "a"', ["nothing=1"], "key 'nothing'"),
    ],
)
def test_errors_name_the_file_and_the_key(
    tmp_path: Path, text: str, overrides: list[str], message: str
) -> None:
    file = tmp_path / "c.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(Outer, file, overrides)
    assert message in str(caught.value)
    assert overrides or "c.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read"):
        load_config(Outer, tmp_path / "none.toml")
