"""The two apps of a deployment, which Flower's SuperLink and SuperNodes load by name.

The server's run configuration names `recipe`, `data` and `out`, and the configuration of each
node names its own `recipe` and `data`; `docs/federated.md` shows both.
"""

from functools import lru_cache
from pathlib import Path

from flwr.app import Context, UserConfig
from flwr.serverapp import Grid, ServerApp

from rec_gen.data.prepare import load_dataset
from rec_gen.errors import ConfigError
from training.federated.client import Client, client_app
from training.federated.config import load_federated_recipe
from training.federated.federate import serve
from training.federated.setup import common_bundle, ground_of, make_client

server = ServerApp()


@server.main()  # type: ignore[untyped-decorator]
def run_server(grid: Grid, context: Context) -> None:
    """Make all rounds, and write the bundle."""
    settings = context.run_config
    recipe = load_federated_recipe(_need(settings, "recipe"), _need(settings, "data"))
    out = Path(_need(settings, "out"))
    serve(recipe, load_dataset(recipe.data), out, lambda *_: grid)


@lru_cache(maxsize=1)
def node_client(recipe_name: str, data: str, number: int) -> Client:
    """The client of a node, made once a process.

    Args:
        recipe_name: Its copy of the recipe.
        data: The interactions that stay with it, in the common catalog.
        number: Tells its draws from those of others.
    """
    recipe = load_federated_recipe(recipe_name, data)
    dataset = load_dataset(recipe.data)
    bundle = common_bundle(recipe, dataset)
    return make_client(recipe, dataset, bundle, ground_of(recipe, bundle), number)


def _node_client(context: Context) -> Client:
    settings = context.node_config
    number = context.node_id % 2**31
    return node_client(_need(settings, "recipe"), _need(settings, "data"), number)


def _need(settings: UserConfig, key: str) -> str:
    if not settings.get(key):
        raise ConfigError(f"{key}: is not set in the configuration of the run or of the node")
    return str(settings[key])


client = client_app(_node_client)
