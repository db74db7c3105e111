"""A federated run: in one process, or as the server of clients elsewhere."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from flwr.serverapp import Grid

from rec_gen.bundle import Bundle
from rec_gen.data.dataset import Dataset
from rec_gen.federation import Federation
from training.federated.client import client_app
from training.federated.config import FederatedRecipe
from training.federated.grid import CLIENT, LocalGrid
from training.federated.server import run_rounds
from training.federated.setup import common_bundle, ground_of, simulated_clients
from training.federated.state import State
from training.federated.weights import read_weights, write_weights
from training.mixture import identify_data
from training.processes import refuse_several
from training.run_folder import BUNDLE, begin_run, refuse_other_files, refuse_other_run

Reach = Callable[[Bundle, str], Grid]
"""Gives the grid that reaches the clients, from the bundle that all begin with and the digest of
what they must have in common."""


def simulate(
    recipe: FederatedRecipe, dataset: Dataset, folder: Path, *, restart: bool = False
) -> Path:
    """Deal the users of a data set to clients in this process, and train an adapter with them.

    Args:
        recipe: The run.
        dataset: The prepared data that the recipe names.
        folder: The run's folder; it receives `bundle`, and `checkpoints` for going on.
        restart: Begin anew although the folder holds a run.

    Returns:
        The bundle's folder.

    Raises:
        ConfigError: The folder holds another run, or the data is not enough for the clients.
        RecGenError: Too few clients are left in a round.
    """
    refuse_several("federate")

    def grid(bundle: Bundle, ground: str) -> Grid:
        clients = simulated_clients(recipe, dataset, bundle, ground)
        app = client_app(lambda context: clients[int(context.node_config[CLIENT])])
        return LocalGrid(app, len(clients))

    return serve(recipe, dataset, folder, grid, restart=restart)


def serve(
    recipe: FederatedRecipe,
    dataset: Dataset,
    folder: Path,
    reach: Reach,
    *,
    restart: bool = False,
) -> Path:
    """Be the server of a run, and write its bundle.

    Args:
        recipe: The run.
        dataset: Whose catalog the items are; its interactions are not read here.
        folder: The run's folder.
        reach: Reaches the clients.
        restart: Begin anew although the folder holds a run.

    Returns:
        The bundle's folder.
    """
    identity = {**recipe.model_dump(mode="json"), **identify_data(recipe, dataset)}
    identity["federated"] = recipe.federated.model_dump(mode="json", exclude={"wait", "least"})
    refuse_other_files(folder)
    if not restart:
        refuse_other_run(identity, folder)
        if (folder / BUNDLE).exists():
            return folder / BUNDLE
    bundle = common_bundle(recipe, dataset)
    ground = ground_of(recipe, bundle)
    begun = read_weights(bundle.model)
    begin_run(identity, folder, restart=restart)
    state = run_rounds(recipe, reach(bundle, ground), State.load(folder, begun), ground, folder)
    write_weights(bundle.model, state.best)
    bundle.model.eval()
    federation = Federation(
        settings=recipe.federated.model_dump(mode="json"),
        rounds=len(state.rounds),
        best_round=state.best_round.number,
        **state.totals(),
    )
    update = {
        "metrics": state.best_round.metrics,
        "minutes": sum(each.seconds for each in state.rounds) / 60,
        "federation": federation,
    }
    manifest = bundle.manifest.model_copy(update=update)
    replace(bundle, manifest=manifest).save(folder / BUNDLE)
    return folder / BUNDLE
