from pathlib import Path

import pytest

from rec_gen.templates import Template
from tests.rec_gen.command import error, run


def test_prompts_are_listed_shown_and_checked(tmp_path: Path) -> None:
    listed = [line.split() for line in run("prompts", "list").output.splitlines()]
    assert listed[0] == ["name", "task", "version", "domain", "inputs"]
    assert ["rating", "rating", "1", "-", "history,", "item"] in listed
    assert ["shop_next", "next_item", "1", "e-commerce", "history"] in listed
    assert "{{ item.spelling }}" in run("prompts", "show", "sequence").output
    assert "next_item: ok, version 1, recorded, reads spelling" in run("prompts", "lint").output
    bad = tmp_path / "bad.jinja"
    bad.write_text("{#\ntask: next_item\nversion: 1\ninputs: history\n#}\n{{ history[0].title }}")
    assert error("prompts", "lint", bad)[1].endswith("never prints item.spelling")
    header = "{#\ntask: rating\nversion: 1\ninputs: item\nanswer: {{ liked is none }}\n#}\n"
    bad.write_text(header + "{{ item.spelling }}")
    assert error("prompts", "lint", bad)[1].endswith("its answers are empty or all the same")
    header = "{#\ntask: title_of_item\nversion: 1\ninputs: item\nanswer: {{ %s }}\n#}\n"
    for answer in ("title[:40]", "title.upper()"):
        bad.write_text(header % answer + "{{ item.spelling }}")
        assert "bad.jinja: ok, version 1" in run("prompts", "lint", bad).output


def test_render_shows_a_users_titles(tables: Path) -> None:
    result = run("prompts", "render", "next_item", "--data", tables / "shop.toml", "--user", "u2",
                 "--max-history", 2)  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "Product 5\nProduct 6\n\nWhat comes next?" in result.stdout
    assert "2 of 5 items" in result.stderr


def test_a_template_of_ones_own_is_recorded_beside_it(tmp_path: Path) -> None:
    mine = tmp_path / "mine.jinja"
    mine.write_text(Template.load("next_item").text)
    assert (
        run("prompts", "lint", mine).output
        == f"{mine}: ok, version 1, not recorded, reads spelling\n"
    )
    mine.write_text(mine.read_text().replace("item.spelling", "item.title"))
    assert "never prints" in error("prompts", "lint", mine, "--record")[1]
    assert not (tmp_path / "versions.json").exists()
    mine.write_text(Template.load("next_item").text)
    for option in (["--record"], []):
        assert "ok, version 1, recorded" in run("prompts", "lint", mine, *option).output
    assert (tmp_path / "versions.json").exists()
    mine.write_text(mine.read_text() + "Think well.\n")
    for option in ([], ["--record"]):
        assert (
            "'mine': was edited and is still version 1"
            in error("prompts", "lint", mine, *option)[1]
        )


def test_diff_shows_what_a_model_reads(tables: Path) -> None:
    options = ["--data", tables / "shop.toml", "--users", 2, "--max-history", 2]
    result = run("prompts", "diff", "next_item", "shop_next", *options)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    heads = [line for line in lines if line.startswith(("--- ", "+++ "))]
    assert [head.split(" v1, ")[0] for head in heads] == ["--- next_item", "+++ shop_next"] * 2
    assert all(" tokens, 2 items" in head for head in heads)
    assert sum(line.startswith("+  price: ") for line in lines) == 4
    assert run("prompts", "diff", "next_item", "shop_next", *options).output == result.output
    assert run("prompts", "diff", "next_item", "next_item", *options).output.count(": equal") == 2
    assert (
        "holds 12 examples and not 13"
        in error("prompts", "diff", "next_item", "shop_next", *options[:2], "--users", 13)[1]
    )


def test_render_tells_what_the_data_knows(tables: Path) -> None:
    options = ["--data", tables / "shop.toml", "--user", "u2", "--max-history", 2]
    gaps = tables / "gaps.jinja"
    head = "{#\ntask: next_item\nversion: 1\ninputs: history\n#}\n"
    gaps.write_text(head + "{% for i in history %}{{ i.gap }} later: {{ i.spelling }}{% endfor %}")
    assert "1 minute later: Product 6" in run("prompts", "render", gaps, *options).stdout
    shots = run("prompts", "render", "next_item_examples", *options, "--shots", 1).stdout
    assert shots.count("What comes next?") == 2
    assert (
        "'examples' needs 13 users"
        in error("prompts", "render", "next_item_examples", *options, "--shots", 12)[1]
    )


def test_an_experiment_names_its_file_and_the_wrong_key(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    assert "mine.toml: cannot be read" in error("prompts", "experiment", file)[1]
    shipped = Path(__file__).parents[2] / "eval" / "experiments" / "movielens-prompts.toml"
    for text, message in (
        ("beam_widht = 200", "mine.toml: key 'beam_widht'"),
        ("[templates", "mine.toml: is not valid TOML"),
        ("beam_width = 0", "mine.toml: key 'beam_width'"),
    ):
        file.write_text(shipped.read_text(encoding="utf-8").replace("beam_width = 200", text))
        code, line = error("prompts", "experiment", file)
        assert (code, message in line) == (2, True), line


def test_render_asks_about_an_item_or_a_text(tables: Path) -> None:
    """By default the user's last item, after those before it, or its title."""
    options = ["--data", tables / "shop.toml", "--user", "u2", "--max-history", 2]
    rating = run("prompts", "render", "rating", *options)
    assert "Product 4\nProduct 5\n\nWould they like this item?\n\nProduct 6" in rating.stdout
    other = run("prompts", "render", "rating", *options, "--item", "p1").stdout
    assert "Product 5\nProduct 6\n\nWould they like this item?\n\nProduct 1" in other
    assert 'called "Product 6"?' in run("prompts", "render", "item_from_title", *options).stdout
    search = run("prompts", "render", "search", *options, "--text", "a red one")
    assert "request: a red one" in search.stdout
    assert "items" not in search.stderr
    assert error("prompts", "render", "rating", *options, "--item", "x")[1].endswith("8 items")


@pytest.mark.parametrize("command", [["render", "next_item"], ["diff", "next_item", "video_next"]])
@pytest.mark.parametrize(
    ("option", "value"),
    [("--max-history", 0), ("--max-tokens", 0), ("--shots", -1), ("--seed", -1)],
)
def test_numbers_out_of_range_are_named(command: list[str], option: str, value: int) -> None:
    result = run("prompts", *command, option, value)
    assert result.exit_code == 2
    assert f"Invalid value for '{option}': {value} is not in the range" in result.stderr
