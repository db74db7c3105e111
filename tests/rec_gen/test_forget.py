"""`recgen forget`: what is removed, what is left and who says so."""

import json
from pathlib import Path
from typing import Any

import pytest

from rec_gen.data.dataset import Dataset
from rec_gen.data.prepare import cached_folder, prepare
from rec_gen.domains import DomainManifest
from rec_gen.errors import BundleError
from rec_gen.manifest import Manifest
from rec_gen.pseudonyms import pseudonym
from rec_gen.screening import Screening
from rec_gen.stages import Compression, Refinement
from rec_gen.testing import random_bundle
from rec_gen.title_screening import TitleFinding
from rec_gen.traces import find_traces
from serving.keys import KeyFile, create_key
from tests.data.shop import INTERACTIONS, ITEMS
from tests.rec_gen.command import SHOP, error, run
from tests.toy import toy_dataset

STAGE: dict[str, Any] = {"settings": {}, "before": {}}


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return random_bundle(toy_dataset().catalog, "title").manifest


def write(folder: Path, manifest: Manifest, **changes: Any) -> Manifest:
    sealed = manifest.model_copy(update={"dataset": "toy", **changes}).seal()
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(sealed.model_dump_json())
    return sealed


def test_bundles_are_told_by_their_data_their_parents_and_their_base(
    tmp_path: Path, manifest: Manifest
) -> None:
    first = write(tmp_path / "a" / "bundle", manifest, fingerprint="old")
    stage = Refinement(parent=first.digest, best_step=1, **STAGE)
    second = write(tmp_path / "b", manifest, fingerprint="x", dataset="x", refinements=(stage,))
    small = Compression(parent=second.digest, **STAGE)
    write(tmp_path / "c", manifest, fingerprint="x", dataset="x", compressions=(small,))
    base = str(tmp_path / "c" / "model")
    write(tmp_path / "d", manifest, fingerprint="y", dataset="y", base=base)
    write(tmp_path / "e", manifest, fingerprint="older")
    write(tmp_path / "new", manifest, fingerprint="new")
    own: dict[str, Any] = {"prompt": manifest.prompt, "template_text": "", "data": {}}
    further = DomainManifest(**own, dataset="x", fingerprint="old")
    write(tmp_path / "f" / "bundle", manifest, fingerprint="new", domains={"read": further})
    (tmp_path / "f" / "checkpoints").mkdir()
    (tmp_path / "f" / "run.json").write_text(json.dumps({"the domains' content": ["old"]}))
    write(tmp_path / "other", manifest, fingerprint="z", dataset="z", base="hub/model")
    write(tmp_path / "torn", manifest, fingerprint="old")
    (tmp_path / "torn" / "manifest.json").write_text("{")
    (tmp_path / "a" / "checkpoints").mkdir()
    (tmp_path / "a" / "run.json").write_text(json.dumps({"the data's content": "old"}))
    (tmp_path / "alien").mkdir()
    (tmp_path / "alien" / "manifest.json").write_text('{"name": "a page"}')
    traces = find_traces([tmp_path], {"old"}, {"toy": {"new"}})
    assert {str(one.folder.relative_to(tmp_path)): one.reason for one in traces} == {
        "a": "its checkpoints were trained on data that held the user",
        "a/bundle": "it was trained on data that held the user",
        "b": f"it goes back to {tmp_path}/a/bundle",
        "c": f"it goes back to {tmp_path}/b",
        "d": f"it goes back to {tmp_path}/c",
        "e": "it was trained on 'toy' in another state, which may have held the user",
        "f": "its checkpoints were trained on data that held the user",
        "f/bundle": "it was trained on data that held the user",
        "torn": "its manifest is damaged",
    }
    with pytest.raises(BundleError, match="there is no such folder to look for bundles in"):
        find_traces([tmp_path / "typo"], {"old"}, {})


def test_a_prepared_folder_its_copy_and_its_bundles(
    tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECGEN_CACHE", str(tmp_path / "cache"))
    data, runs = tmp_path / "data", tmp_path / "runs"
    cached = tmp_path / "cache" / "prepared" / "toy-0"
    older = cached.with_name("toy-1")
    for folder, dataset in (
        (data, toy_dataset()),
        (cached, toy_dataset()),
        (older, toy_dataset(9)),
    ):
        folder.mkdir(parents=True)
        dataset.save(folder)
    write(runs / "one", manifest, fingerprint=toy_dataset().fingerprint)
    call = ("forget", "u3", "--data", data, "--bundles", runs)
    dry = run(*call, "--dry-run")
    assert dry.exit_code == 3
    assert dry.output.splitlines()[0] == f"would remove: {data}: 9 interactions"
    assert "u3" in Dataset.load(data).users
    done = run(*call)
    assert done.exit_code == 3
    assert done.output.splitlines() == [
        f"removed: {data}: 9 interactions",
        f"removed: {cached}: 9 interactions",
        f"left: {older}: another state of 'toy' in the cache, with the user: delete the folder, "
        "or name it with --data",
        f"left: {runs}/one: it was trained on data that held the user: train it again on the data "
        "of now",
    ]
    for folder in (data, cached):
        assert "u3" not in Dataset.load(folder).users
    again = run("forget", "u3", "--data", data, "--data", older, "--bundles", runs)
    assert [line.split(": ")[:2] for line in again.output.splitlines()] == [
        ["removed", str(older)],
        ["left", f"{runs}/one"],
    ]
    nowhere = run("forget", "u3", "--data", data)
    assert (nowhere.exit_code, nowhere.output) == (0, "user 'u3' is nowhere in what was named\n")


def test_what_a_screening_found_of_the_user_goes_along(tmp_path: Path) -> None:
    data = tmp_path / "data"
    title = TitleFinding("i2", "Film 2 <|im_end|>", ("instruction",), "Film 2")
    Screening(toy_dataset(), {"u3": ("i1",), "u4": ("i1",)}, [title]).save(data)
    done = run("forget", "u3", "--data", data)
    assert (done.exit_code, done.output) == (0, f"removed: {data}: 9 interactions\n")
    found = json.loads((data / "screening.json").read_text())
    assert found["suspects"] == {"u4": ["i1"]}
    assert found["titles"][0]["item"] == "i2"
    assert "u3" not in Dataset.load(data).users
    (data / "screening.json").write_text('{"suspects": null}')
    done = run("forget", "u4", "--data", data)
    assert done.exit_code == 1
    assert done.stderr.endswith("'suspects' is no table of users: restore the file\n")
    assert "u4" in Dataset.load(data).users


def test_a_key_that_one_table_names_is_known_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECGEN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "log.csv").write_text(INTERACTIONS)
    (tmp_path / "items.csv").write_text(ITEMS)
    (tmp_path / "key").write_bytes(bytes(32))
    toml, data = tmp_path / "shop.toml", tmp_path / "data"
    toml.write_text(SHOP.format(folder=tmp_path) + f'\n[mask]\nuser_key = "{tmp_path}/key"\n')
    assert run("prepare", toml, "--out", data).exit_code == 0
    for order in ((data, toml), (toml, data)):
        done = run("forget", "v", "--data", order[0], "--data", order[1], "--dry-run")
        assert f"would remove: {data}: 3 interactions" in done.output


def test_own_tables_are_told_and_what_was_prepared_of_them_is_mended(
    tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECGEN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "log.csv").write_text(INTERACTIONS)
    (tmp_path / "items.csv").write_text(ITEMS)
    key = tmp_path / "key"
    key.write_bytes(bytes(32))
    toml = tmp_path / "shop.toml"
    toml.write_text(SHOP.format(folder=tmp_path) + f'\n[mask]\nuser_key = "{key}"\n')
    write(tmp_path / "runs" / "one", manifest, fingerprint="x", dataset="log")
    unknown = run("forget", "v", "--data", toml, "--bundles", tmp_path / "runs", "--dry-run")
    assert "'log' in another state" in unknown.output
    from rec_gen.cli.common import data_config

    config = data_config(str(toml), ())
    prepare(config, cached_folder(config))
    done = run("forget", "v", "--data", toml)
    assert done.exit_code == 3
    assert done.output.splitlines() == [
        f"left: {tmp_path}/log.csv: 3 of your own table's rows: take them out there, and prepare "
        "it again",
        f"removed: {cached_folder(config)}: 3 interactions",
    ]
    assert pseudonym("v", bytes(32)) not in Dataset.load(cached_folder(config)).users


def test_keys_of_the_user_are_revoked(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    create_key(file, "shop", ["recommend"], "ann-0815")
    create_key(file, "shop", ["recommend"])
    assert run("forget", "ann-0815", "--keys", file).output.endswith("nowhere in what was named\n")
    done = run("forget", "ann-0815", "--keys", file, "--tenant", "shop")
    assert (done.exit_code, done.output) == (0, f"removed: {file}: 1 API key\n")
    assert len(KeyFile(file).keys()) == 1
    assert b"ann-0815" not in file.read_bytes()
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(32))
    hashed = pseudonym("ann", bytes(32))
    create_key(file, "default", ["recommend"], hashed)
    done = run("forget", "ann", "--keys", file, "--user-key", secret)
    assert (done.exit_code, done.output) == (0, f"removed: {file}: 1 API key\n")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "forget: say where: --data, --store, --keys or --batch"),
        (("--keys", "k", "--bundles", "runs"), "forget: --bundles are judged by their data"),
        (("--data", "d", "--bundles", "no"), "no: there is no such folder to look for bundles in"),
        (("--data", "movielens-100k"), "movielens-100k: is a named data set, whose files stay"),
        (("--store", "sqlite:///no/such.db"), "sqlite:///no/such.db: there is no such file"),
    ],
)
def test_what_cannot_be_done_is_one_line(arguments: tuple[str, ...], line: str) -> None:
    assert error("forget", "ann", *arguments)[1].startswith(f"recgen: {line}")
