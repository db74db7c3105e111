"""From a recipe to what server and clients need before the first round."""

import json

import numpy as np
import polars as pl

from rec_gen.bundle import Bundle
from rec_gen.data.dataset import Dataset
from rec_gen.digests import text_digest
from rec_gen.errors import ConfigError
from rec_gen.templates import Template
from training.federated.client import Client
from training.federated.config import FederatedRecipe
from training.federated.faults import FaultyTraining, garbage_clients
from training.federated.local import LocalTraining
from training.mixture import task_templates, training_rows
from training.ranking import validation_examples
from training.setup import prepare_materials
from training.sft import untrained_bundle


def common_bundle(recipe: FederatedRecipe, dataset: Dataset) -> Bundle:
    """The bundle that all begin with: base model, new adapter, catalog and tokens.

    No interaction is read for it, so that server and clients make the same one, each by itself.
    """
    plain, template = recipe.plain(), Template.load(recipe.prompt.template)
    task_templates(plain, template)
    materials = prepare_materials(plain, dataset, template)
    return untrained_bundle(plain, dataset, template, materials)


def ground_of(recipe: FederatedRecipe, bundle: Bundle) -> str:
    """A digest of what server and clients must have in common.

    That is the catalog in its order, spellings, tokenizer, base model, prompt, and what the recipe
    says of training; not where the data is, nor how many are ranked.
    """
    manifest = bundle.manifest
    common = recipe.model_dump(
        mode="json",
        include={"seed", "spelling", "model", "train", "federated"},
        exclude={"model": {"base"}, "federated": {"wait", "least", "faults", "clients"}},
    )
    common |= {
        "catalog": bundle.catalog.fingerprint,
        "spellings": [tokens.tolist() for tokens in bundle.spellings.tokens],
        "base": manifest.base_digest,
        "tokenizer": manifest.tokenizer,
        "prompt": manifest.prompt.model_dump(mode="json"),
        "template": manifest.template_text,
    }
    return text_digest(json.dumps(common, sort_keys=True))


def make_client(
    recipe: FederatedRecipe, dataset: Dataset, bundle: Bundle, ground: str, number: int
) -> Client:
    """A client that has a data set of its own.

    Raises:
        ConfigError: It leaves nothing to learn, or nothing to rank.
    """
    if next(dataset.sequences(), None) is None:
        raise ConfigError(f"{dataset.name}: client {number} has no interaction to learn from")
    rows = training_rows(recipe, dataset, bundle)
    held = validation_examples(dataset, recipe.validation, recipe.seed)
    training = LocalTraining(recipe, bundle, rows, held, number)
    return Client(training, ground, recipe.federated.secure)


def simulated_clients(
    recipe: FederatedRecipe, dataset: Dataset, bundle: Bundle, ground: str
) -> dict[int, Client]:
    """Clients that share a data set by users, and a process; numbered from 1.

    Raises:
        ConfigError: There are fewer users than clients, or a client has nothing to learn from.
    """
    settings = recipe.federated
    if len(dataset.users) < settings.clients:
        raise ConfigError(
            f"federated.clients: {dataset.name} has {len(dataset.users)} users for "
            f"{settings.clients} clients; lower it"
        )
    share = recipe.validation.users
    each = None if share is None else -(-share // settings.clients)
    validation = recipe.validation.model_copy(update={"users": each})
    asked = recipe.model_copy(update={"validation": validation})
    bad = garbage_clients(settings.faults, settings.clients, recipe.seed)
    clients = {}
    for number, part in enumerate(deal_users(dataset, settings.clients)):
        client = make_client(asked, part, bundle, ground, number + 1)
        training = FaultyTraining(client.training, settings.faults, garbage=number in bad)
        clients[number + 1] = Client(training, ground, settings.secure)
    return clients


def deal_users(dataset: Dataset, clients: int) -> list[Dataset]:
    """The interactions of every so many-th user, by client; all keep the whole catalog."""
    owner = dict(zip(dataset.users, np.arange(len(dataset.users)) % clients, strict=True))
    owners = dataset.frame["user"].replace_strict(owner, return_dtype=pl.Int64)
    return [
        Dataset(dataset.catalog, dataset.frame.filter(owners == client), dataset.manifest)
        for client in range(clients)
    ]
