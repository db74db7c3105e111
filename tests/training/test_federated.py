"""Real rounds of small clients: what they come to, what they survive, and how they end."""

import json
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from flwr.app import Context, RecordDict
from flwr.supercore.object_ref import load_app

from rec_gen.cli import main
from rec_gen.data.dataset import Dataset
from rec_gen.errors import ConfigError, RecGenError
from rec_gen.federation import Federation
from rec_gen.manifest import read_manifest
from rec_gen.recommender import Recommender
from tests.toy import tiny_base, toy_dataset
from tests.training.federation import toy_federation
from training.federated import app, faults
from training.federated.client import Client, client_app
from training.federated.faults import DroppedOutError
from training.federated.federate import simulate
from training.federated.grid import CLIENT, LocalGrid
from training.federated.server import run_rounds
from training.federated.setup import (
    common_bundle,
    deal_users,
    ground_of,
    make_client,
    simulated_clients,
)
from training.federated.state import State
from training.federated.weights import Weights, distance, read_weights, write_weights


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_base(tmp_path_factory.mktemp("federated") / "base")


def recipe_file(base: str, folder: Path) -> Path:
    table = toy_federation(base).model_dump(mode="json", exclude_unset=True)
    lines = [f"name = {json.dumps(table.pop('name'))}"]
    for name, keys in table.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
    file = folder / "toy.toml"
    file.write_text("\n".join(lines))
    return file


def saved(dataset: Dataset, folder: Path) -> Path:
    folder.mkdir()
    dataset.save(folder)
    return folder


@pytest.fixture(scope="session")
def plain(base: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain")
    command = [
        "federate",
        recipe_file(base, folder),
        "--data",
        saved(toy_dataset(), folder / "data"),
    ]
    done = CliRunner().invoke(main, [*map(str, command), "--out", str(folder)])
    assert done.exit_code == 0, done.output
    return folder


def rounds_of(base: str, folder: Path, **federated: Any) -> State:
    recipe = toy_federation(base, federated=federated)
    simulate(recipe, toy_dataset(), folder)
    return last_state(folder)


def last_state(folder: Path) -> State:
    return State.load(folder, {})


def test_clients_make_an_ordinary_adapter(plain: Path) -> None:
    manifest = read_manifest(plain / "bundle")
    made = manifest.federation
    assert made is not None
    assert (made.clients, made.rounds) == (4, 2)
    assert set(manifest.metrics) == {"ndcg@10", "recall@10"}
    assert "federated" not in manifest.recipe
    answer = Recommender.load(plain / "bundle").recommend([["i1", "i2"]], k=3)[0]
    assert len({found.item.id for found in answer}) == 3


def test_every_byte_of_the_weights_is_counted(plain: Path) -> None:
    state = last_state(plain)
    minutes = sum(made.seconds for made in state.rounds) / 60
    assert read_manifest(plain / "bundle").minutes == pytest.approx(minutes)
    assert minutes > 0
    size = sum(values.nbytes for values in state.weights.values())
    for made in state.rounds:  # the weights go out for training and for the validation
        assert 8 * size <= made.sent <= 9 * size
        assert 4 * size <= made.received <= 4.5 * size


def test_a_manifest_without_clients_keeps_its_seal(plain: Path) -> None:
    manifest = read_manifest(plain / "bundle").model_copy(update={"federation": None})
    older = manifest.model_dump_json(exclude={"federation", "digest"})
    assert manifest.seal().digest != read_manifest(plain / "bundle").digest
    assert '"federation"' not in older
    changed = Federation(settings={}, clients=1, rounds=1, best_round=1, sent=0, received=0)
    assert (
        manifest.seal().digest != manifest.model_copy(update={"federation": changed}).seal().digest
    )


def test_a_run_goes_on_after_the_round_in_which_clients_were_missing(
    base: str, plain: Path, tmp_path: Path
) -> None:
    recipe = toy_federation(base)
    bundle = common_bundle(recipe, toy_dataset())
    ground, begun = ground_of(recipe, bundle), read_weights(bundle.model)
    clients = simulated_clients(recipe, toy_dataset(), bundle, ground)
    calls = 0

    def gone_in_the_second_round(context: Context) -> Client:
        nonlocal calls
        calls += 1
        if calls > 8:  # four times training and four times ranking make the first
            raise OSError("no power")
        return clients[int(context.node_config[CLIENT])]

    def go_on(client_of: Callable[[Context], Client]) -> State:
        grid = LocalGrid(client_app(client_of), 4)
        return run_rounds(recipe, grid, State.load(tmp_path, begun), ground, tmp_path)

    with pytest.raises(RecGenError, match=r"round 2: 0 of 4 .* no power.* goes on after round 1"):
        go_on(gone_in_the_second_round)
    whole = go_on(lambda context: clients[int(context.node_config[CLIENT])])
    assert [made.number for made in whole.rounds] == [1, 2]
    assert distance(whole.weights, last_state(plain).weights) == 0


def test_nodes_with_data_of_their_own_come_to_what_a_simulation_does(
    base: str, plain: Path, tmp_path: Path
) -> None:
    recipe = str(recipe_file(base, tmp_path))
    grid = LocalGrid(app.client, 4)
    for number, part in enumerate(deal_users(toy_dataset(), 4)):
        data = str(saved(part, tmp_path / f"data-{number}"))
        grid.contexts[number + 1].node_config.update({"recipe": recipe, "data": data})
    settings = {"recipe": recipe, "data": str(tmp_path / "data-0"), "out": str(tmp_path / "run")}
    app.server(grid, Context(1, 0, {}, RecordDict(), settings))
    assert distance(last_state(tmp_path / "run").weights, last_state(plain).weights) == 0


def test_masks_change_nothing_but_rounding(base: str, plain: Path, tmp_path: Path) -> None:
    masked = rounds_of(base, tmp_path, secure=True, least=3)
    open_weights = last_state(plain).weights
    moved = distance(open_weights, initial(base))
    assert distance(masked.weights, open_weights) < 0.01 * moved
    assert masked.rounds[0].loss is None
    assert masked.rounds[0].received > last_state(plain).rounds[0].received


def initial(base: str) -> Weights:
    return read_weights(common_bundle(toy_federation(base), toy_dataset()).model)


def test_a_client_that_masks_answers_no_server_that_does_not_ask_for_it(base: str) -> None:
    recipe = toy_federation(base, federated={"secure": True, "least": 3})
    bundle = common_bundle(recipe, toy_dataset())
    ground = ground_of(recipe, bundle)
    client = make_client(recipe, toy_dataset(), bundle, ground, 1)
    open_recipe = toy_federation(base)
    grid = LocalGrid(client_app(lambda _: client), 4)
    state = State(read_weights(bundle.model), read_weights(bundle.model))
    with pytest.raises(RecGenError, match="0 of 4 clients are fit to be averaged"):
        run_rounds(open_recipe, grid, state, ground, Path("never"))


def test_a_server_of_another_catalog_is_refused(base: str, tmp_path: Path) -> None:
    recipe = toy_federation(base)
    bundle = common_bundle(recipe, toy_dataset())
    client = make_client(recipe, toy_dataset(), bundle, "another ground", 1)
    grid = LocalGrid(client_app(lambda _: client), 2)
    weights = read_weights(bundle.model)
    with pytest.raises(RecGenError, match="differ in catalog, spellings, base model or recipe"):
        run_rounds(recipe, grid, State(weights, weights), ground_of(recipe, bundle), tmp_path)


def test_other_spellings_are_another_ground(base: str) -> None:
    recipe = toy_federation(base)
    bundle = common_bundle(recipe, toy_dataset())
    tokens = [*bundle.spellings.tokens[1:], bundle.spellings.tokens[0]]
    spelled = replace(bundle, spellings=replace(bundle.spellings, tokens=tokens))
    assert ground_of(recipe, bundle) == ground_of(recipe, common_bundle(recipe, toy_dataset()))
    assert ground_of(recipe, bundle) != ground_of(recipe, spelled)


def test_a_strong_pull_keeps_clients_where_they_began(
    base: str, plain: Path, tmp_path: Path
) -> None:
    held = rounds_of(base, tmp_path, strategy="fedprox", mu=1e4)
    begun = initial(base)
    assert distance(held.weights, begun) < 0.7 * distance(last_state(plain).weights, begun)


def test_the_defence_bounds_what_garbage_does(base: str, plain: Path, tmp_path: Path) -> None:
    huge = {"garbage": 0.25, "attack": "huge"}
    one_round = {"local_steps": 8}  # a second one may find no loss that is a number
    bare = rounds_of(base, tmp_path / "bare", faults=huge, **one_round)
    safe = rounds_of(base, tmp_path / "safe", faults=huge, clip=1.0, trim=0.25)
    begun = initial(base)
    honest = distance(last_state(plain).weights, begun)
    assert distance(bare.weights, begun) > 1000 * honest
    assert distance(safe.weights, begun) < 2 * honest
    assert all(made.clipped for made in safe.rounds)


def test_impossible_updates_are_left_out_and_named(base: str, tmp_path: Path) -> None:
    state = rounds_of(base, tmp_path, faults={"garbage": 0.25, "attack": "shape"})
    for made in state.rounds:
        assert made.averaged == 3
        assert next(iter(made.failed.values())).endswith("in another shape or type")


@pytest.mark.parametrize("secure", [False, True])
def test_clients_may_drop_out_until_too_few_are_left(
    base: str, tmp_path: Path, *, secure: bool
) -> None:
    common = {"faults": {"drop_out": 0.15}, "secure": secure, "least": 3}
    state = rounds_of(base, tmp_path / "some", **common)
    assert min(made.averaged for made in state.rounds) == 3
    with pytest.raises(RecGenError, match=r"round 1: \d of 4 clients .* federated.least is 4"):
        rounds_of(base, tmp_path / "few", **{**common, "least": 4, "faults": {"drop_out": 0.6}})


def test_what_a_client_says_is_printed_as_it_is(
    base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "the template has no tag [/INST] [bold]"
    monkeypatch.setattr(faults, "DroppedOutError", lambda _: DroppedOutError(words))
    rounds_of(base, tmp_path, faults={"drop_out": 0.15}, least=3)
    assert f": {words};" in capsys.readouterr().err


def test_another_run_does_not_go_on_in_a_folder(base: str, plain: Path) -> None:
    with pytest.raises(ConfigError, match=r"it differs in .*federated\.local_steps"):
        simulate(toy_federation(base, federated={"local_steps": 2}), toy_dataset(), plain)


def test_more_clients_than_users_are_refused(base: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="24 users for 30 clients"):
        simulate(toy_federation(base, federated={"clients": 30}), toy_dataset(), tmp_path)


def test_users_are_dealt_whole_and_once() -> None:
    parts = deal_users(toy_dataset(), 5)
    assert sorted(user for part in parts for user in part.users) == sorted(toy_dataset().users)
    assert sum(len(part.frame) for part in parts) == len(toy_dataset().frame)
    assert all(len(part.catalog) == len(toy_dataset().catalog) for part in parts)


def test_weights_go_back_where_they_came_from(base: str) -> None:
    bundle = common_bundle(toy_federation(base), toy_dataset())
    drawn = {
        name: np.random.default_rng(0).normal(size=values.shape).astype(np.float32)
        for name, values in read_weights(bundle.model).items()
    }
    write_weights(bundle.model, drawn)
    assert distance(read_weights(bundle.model), drawn) == 0
    assert any("trainable_tokens" in name for name in drawn)


def test_the_command_says_what_is_wrong_in_one_line(tmp_path: Path) -> None:
    recipe = tmp_path / "my.toml"
    recipe.write_text('name = "my"\n[data]\nsource = "movielens-100k"\n[train]\nmax_steps = 1\n')
    done = CliRunner().invoke(main, ["federate", str(recipe)])
    assert done.exit_code == 2
    assert 'set model.adapter = "lora"' in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_flower_finds_the_apps_that_a_deployment_names() -> None:
    file = Path(app.__file__).parent / "deploy" / "pyproject.toml"
    table = tomllib.loads(file.read_text(encoding="utf-8"))["tool"]["flwr"]["app"]
    for kind, found in (("serverapp", app.server), ("clientapp", app.client)):
        assert load_app(table["components"][kind], ConfigError, file.parent) is found
    assert set(table["config"]) == {"recipe", "data", "out"}
