from pathlib import Path

import pytest

from rec_gen.files import new_folder, write_text


def test_a_new_folder_replaces_the_old_one_at_the_end(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "folder"
    with new_folder(place) as folder:
        (folder / "a").write_text("1")
        assert not place.exists()
    with new_folder(place) as folder:
        (folder / "b").write_text("2")
        assert (place / "a").exists()
    assert [file.name for file in place.iterdir()] == ["b"]
    assert [file.name for file in place.parent.iterdir()] == ["folder"]


def test_an_error_leaves_all_as_it_was(tmp_path: Path) -> None:
    with new_folder(tmp_path / "folder") as folder:
        (folder / "a").write_text("1")
    with pytest.raises(KeyError), new_folder(tmp_path / "folder") as folder:  # noqa: PT012
        (folder / "b").write_text("2")
        raise KeyError
    assert [file.name for file in tmp_path.rglob("*")] == ["folder", "a"]


def test_a_text_appears_whole(tmp_path: Path) -> None:
    write_text(tmp_path / "x" / "t.txt", "é")
    assert (tmp_path / "x" / "t.txt").read_text(encoding="utf-8") == "é"
    assert len(list((tmp_path / "x").iterdir())) == 1
