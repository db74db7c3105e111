"""A server that is lied to: `python -m eval.benchmarks.hostile --json FILE`.

A server of two catalogs, whose model replies too, gets malformed bodies for every operation that
takes one, from a client whose key holds, and requests that try to get in without such a key. A
right body must be answered first, so that none ends at what the server does not offer. A server
error is a status of 500 and more other than 504, with which it says that it had too little time;
503 is one, since it would tell of a model that a body has killed. Afterwards it must still
recommend what is asked for.
"""

import asyncio
import json
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import polars as pl
from rich.console import Console

from eval.benchmarks.hostile_bodies import VALID, Malformed, malformed
from eval.benchmarks.hostile_keys import PATHS, Keys, attempts
from eval.benchmarks.serving_client import ASK, Connection, Header, invalid_items, raw_request
from eval.benchmarks.serving_server import options, random_titles, served
from rec_gen.catalog import Catalog
from rec_gen.cli.common import Command
from rec_gen.errors import RecGenError
from rec_gen.files import write_text
from rec_gen.testing import random_bundle, with_domain
from rec_gen.versions import machine

CONNECTIONS, CHECKS, K, EXAMPLES = 4, 20, 10, 10
SETTINGS = ("limits.failures=1000000/second",)
"""Else most attempts to get in would be refused for their number."""
SCOPES = ("recommend", "events", "catalog", "metrics", "admin")


@dataclass
class Tally:
    """What malformed bodies were answered with.

    Attributes:
        statuses: How often each status came, by operation; `none` where the connection ended.
        failures: What made the server fail, the first ones.
        failed: How often it did.
    """

    statuses: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    failures: list[dict[str, str]] = field(default_factory=list)
    failed: int = 0

    def add(self, operation: str, sent: Malformed, status: int | None) -> None:
        """Count one answer."""
        self.statuses[operation][str(status or "none")] += 1
        if status is not None and status >= 500 and status != 504:
            self.failed += 1
            if len(self.failures) < EXAMPLES:
                body = repr(sent.body[:200])
                self.failures.append({"operation": operation, "kind": sent.kind, "body": body})


def make_keys(file: Path) -> Keys:
    """A key that holds, one that was taken back and one whose time is over, and their file."""

    def recgen(*command: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "rec_gen", "keys", *command, "--file", str(file)],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        return done.stdout.split()[0] if done.stdout else ""

    scopes = [part for scope in SCOPES for part in ("--scope", scope)]
    secret, revoked, expired = (recgen("create", *scopes) for _ in range(3))
    recgen("revoke", revoked.split("_")[1])
    table = json.loads(file.read_text(encoding="utf-8"))
    rows = {row["id"]: row for row in table["keys"]}
    rows[expired.split("_")[1]]["expires"] = "2000-01-01T00:00:00Z"
    write_text(file, json.dumps(table))
    identity = secret.split("_")[1]
    return Keys(secret, identity, rows[identity]["sha256"], revoked, expired)


async def send_malformed(url: str, key: Header, count: int, seed: int) -> Tally:
    """Send malformed bodies to all operations in turn.

    Raises:
        RecGenError: The server takes bodies where this knows of none, or not a right one.
    """
    first = Connection(url)
    described = json.loads((await first.request("GET", "/openapi.json")).body)["paths"]
    found = {
        (method, path)
        for path, methods in described.items()
        for method, operation in methods.items()
        if "requestBody" in operation
    }
    if found != VALID.keys():
        raise RecGenError(f"add to VALID of hostile_bodies.py: {sorted(found ^ VALID.keys())}")
    for (method, path), body in VALID.items():
        right = Malformed("right", json.dumps(body).encode())
        status = await _status(first, method, path, key, right)
        if status != 200:
            raise RecGenError(f"{method.upper()} {path}: a right body was answered with {status}")
    first.close()
    numbers, tally = iter(range(count)), Tally()

    async def client() -> None:
        connection = Connection(url)
        for number in numbers:
            method, path = list(VALID)[number % len(VALID)]
            sent = malformed(VALID[method, path], f"{seed}-{number}")
            status = await _status(connection, method, path, key, sent)
            tally.add(f"{method.upper()} {path}", sent, status)
        connection.close()

    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))
    return tally


async def _status(
    connection: Connection, method: str, path: str, key: Header, sent: Malformed
) -> int | None:
    framing = [sent.framing] if sent.framing else []
    raw = raw_request(method.upper(), path, sent.body, [key, *sent.headers, *framing])
    try:
        return (await connection.send(raw, last=sent.cut)).status
    except OSError:
        return None


async def enter(url: str, keys: Keys) -> tuple[int, int]:
    """Try to get in: how often, and how often it worked."""
    asked: list[tuple[str, str, Any, Sequence[Header]]] = [
        *(("POST", one.target, {"history": []}, one.headers) for one in attempts(keys)),
        *(("GET", path, None, ()) for path in PATHS),
    ]
    entered = 0
    for method, target, body, headers in asked:
        connection = Connection(url)
        try:
            reply = await connection.request(method, target, body, headers)
            entered += reply.status < 400
        except OSError:
            continue  # it hung up
        finally:
            connection.close()
    return len(asked), entered


async def wrong_items(url: str, key: Header, items: list[str]) -> int:
    """How many items of some recommendations are not among those that are asked for."""
    connection, wrong = Connection(url), 0
    for first in range(CHECKS):
        allowed = items[first : first + 2 * K]
        body: dict[str, Any] = {"history": allowed[:1], "allow": allowed, "k": K}
        reply = await connection.request("POST", ASK, body, [key])
        answered = reply.items if reply.status == 200 else []
        wrong += invalid_items(answered, K, allowed, allowed[:1])
    connection.close()
    return wrong


@click.command(cls=Command)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write figures here.")
@click.option("--bodies", type=click.IntRange(min=1), default=10_000, show_default=True)
@click.option("--seed", default=0, show_default=True, help="Of the bodies.")
def main(json_path: Path | None, bodies: int, seed: int) -> None:
    """Send malformed bodies and false keys to a server."""
    catalog, further = (
        Catalog(random_titles(kind).frame.with_columns(year=pl.lit(1999)))
        for kind in ("Film", "Book")
    )
    with TemporaryDirectory() as name:
        folder = Path(name)
        bundle = random_bundle(catalog, "title", tasks=["reply"])
        with_domain(bundle, "more", further).save(folder / "bundle")
        keys = make_keys(folder / "keys.json")
        key = (b"Authorization", f"Bearer {keys.secret}".encode())
        secured = ["--keys", str(folder / "keys.json"), *options(SETTINGS)]
        with served(folder / "bundle", folder, *secured) as server:
            tally = asyncio.run(send_malformed(server.url, key, bodies, seed))
            tried, entered = asyncio.run(enter(server.url, keys))
            wrong = asyncio.run(wrong_items(server.url, key, list(catalog.ids)))
    counts = sum(tally.statuses.values(), Counter())
    figures = {
        "malformed_bodies": counts.total(),
        "server_errors": tally.failed,
        "unanswered": counts["none"],
        "entries_tried": tried,
        "entered": entered,
        "wrong_items_afterwards": wrong,
    }
    report = {
        "figures": figures,
        "statuses": {name: dict(found) for name, found in tally.statuses.items()},
        "failures": tally.failures,
        "seed": seed,
    }
    Console().print_json(json.dumps(report))
    if json_path:
        write_text(json_path, json.dumps(report | machine(), indent=2) + "\n")


if __name__ == "__main__":
    main()
