"""A bundle that is spoilt while a server runs on it, and a server that is started on such a one."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from rec_gen.bundle import Bundle
from tests.rec_gen.command import error
from tests.serving.server import Server, served, until
from tests.serving.test_load import ASK, load
from tests.toy import rated, tiny_base, toy_dataset, toy_recipe
from training.sft import train

WEIGHTS = "model/model.safetensors"


def flip(bundle: Path) -> None:
    """Another bit in the middle of the weights, in place."""
    with (bundle / WEIGHTS).open("r+b") as file:
        file.seek((bundle / WEIGHTS).stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 0x40]))


def overwrite(bundle: Path) -> None:
    """Other weights and another trie of the same size, in place."""
    for name in (WEIGHTS, "trie.safetensors"):
        with (bundle / name).open("r+b") as file:
            file.write(b"\x01" * (bundle / name).stat().st_size)


def truncate(bundle: Path) -> None:
    for name in (WEIGHTS, "trie.safetensors"):
        with (bundle / name).open("r+b") as file:
            file.truncate(100)


def lose_the_tokenizer(bundle: Path) -> None:
    (bundle / "tokenizer" / "tokenizer.json").unlink()


def change_the_manifest(bundle: Path) -> None:
    table = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps({**table, "name": "other"}))


def remove(bundle: Path) -> None:
    shutil.rmtree(bundle)


def lists(server: Server) -> list[list[tuple[str, float]]]:
    """What is answered after each single item: ids and scores."""
    with server.client() as client:
        asked = [{"history": [f"i{item}"], "k": 12, "exclude_seen": False} for item in range(12)]
        answers = [client.post(ASK, json=body).raise_for_status().json() for body in asked]
    return [[(item["id"], item["score"]) for item in answer["items"]] for answer in answers]


@pytest.mark.slow
def test_a_running_server_answers_as_before_whatever_becomes_of_its_bundle(
    bundle: Path, tmp_path: Path
) -> None:
    mine = shutil.copytree(bundle, tmp_path / "bundle")
    with served(mine, "--store", f"sqlite:///{tmp_path}/store.db") as server:
        before = lists(server)
        with load(server, 2) as answers:
            for spoil in (flip, overwrite, change_the_manifest, lose_the_tokenizer, truncate):
                spoil(mine)
                assert lists(server) == before
            shutil.rmtree(mine)
            shutil.copytree(bundle, mine)
            overwrite(mine)
            assert lists(server) == before
            count = len(answers)
            until(lambda: len(answers) > count + 20)
            with server.client() as client:
                put = {"items": [{"id": "n", "title": "A new film"}]}
                client.put("/v1/items", json=put).raise_for_status()
                client.delete("/v1/items/n").raise_for_status()
            assert [[one[0] for one in found] for found in lists(server)] == [
                [one[0] for one in found] for found in before
            ]
        good = [answer for answer in answers if isinstance(answer, httpx.Response)]
        assert len(good) == len(answers)
        assert {answer.status_code for answer in good} == {200}
        assert server.stop() == 0


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (flip, f"{WEIGHTS} was changed after training"),
        (overwrite, f"{WEIGHTS} was changed after training"),
        (truncate, f"{WEIGHTS} was changed after training"),
        (lose_the_tokenizer, "tokenizer/tokenizer.json is missing"),
        (change_the_manifest, "manifest.json was changed after training"),
        (remove, "is not a bundle: manifest.json cannot be read"),
    ],
)
def test_a_start_on_a_spoilt_bundle_is_refused_in_one_line(
    bundle: Path, tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    mine = shutil.copytree(bundle, tmp_path / "bundle")
    spoil(mine)
    code, line = error("serve", mine, "--store", f"sqlite:///{tmp_path}/store.db", "--port", "0")
    assert code == 1
    assert f"{mine}: " in line
    assert message in line


@pytest.mark.parametrize("adapter", [False, True])
def test_no_file_stays_mapped(bundle: Path, tmp_path: Path, adapter: bool) -> None:
    if adapter:
        model = {"base": tiny_base(tmp_path / "base"), "adapter": "lora"}
        bundle = train(toy_recipe(model=model), rated(toy_dataset()), tmp_path / "run")
    loaded = Bundle.load(bundle)
    mapped = Path("/proc/self/maps").read_text()
    assert len(loaded.trie) > 0
    for folder in (bundle, tmp_path):
        assert str(folder) not in mapped
