import json
from pathlib import Path

import pytest

from rec_gen.errors import PromptError
from rec_gen.template_lock import LOCK, check_version, lock_path, record_version
from rec_gen.templates import Template, template_names

TEXT = "{#\ntask: next_item\nversion: 1\ninputs: history\n#}\n{{ history[0].spelling }}\n"


def parsed(text: str) -> Template:
    return Template.parse("mine", text)


def test_every_template_of_the_package_is_recorded() -> None:
    lock = lock_path("next_item")
    assert sorted(json.loads(lock.read_text())) == template_names()
    assert all(check_version(Template.load(name), lock) for name in template_names())


def test_without_a_lock_nothing_is_compared(tmp_path: Path) -> None:
    assert lock_path(str(tmp_path / "mine.jinja")) == tmp_path / LOCK
    assert not check_version(parsed(TEXT), tmp_path / LOCK)


def test_a_version_is_written_once_and_never_changed(tmp_path: Path) -> None:
    lock = tmp_path / LOCK
    assert record_version(parsed(TEXT), lock)
    assert record_version(parsed(TEXT), lock)
    assert check_version(parsed(TEXT), lock)
    written, edited = lock.read_text(), parsed(TEXT + "more")
    for act in (check_version, record_version):
        with pytest.raises(PromptError, match="'mine': was edited and is still version 1"):
            act(edited, lock)
    assert lock.read_text() == written
    second = parsed(TEXT.replace("version: 1", "version: 2") + "more")
    with pytest.raises(PromptError, match=r"version 2 is not recorded .* lint --record"):
        check_version(second, lock)
    assert record_version(second, lock)
    assert check_version(second, lock)
    assert json.loads(lock.read_text()) == {"mine": {"1": parsed(TEXT).sha256, "2": second.sha256}}
    assert list(tmp_path.iterdir()) == [lock]


@pytest.mark.parametrize("text", ["{", "[]", '{"mine": 1}', '{"mine": {"1": 2}}', "\udcff"])
def test_a_damaged_lock_is_an_error(tmp_path: Path, text: str) -> None:
    lock = tmp_path / LOCK
    lock.write_bytes(text.encode(errors="surrogateescape"))
    for act in (check_version, record_version):
        with pytest.raises(PromptError, match=LOCK):
            act(parsed(TEXT), lock)
