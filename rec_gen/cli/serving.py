"""`recgen serve` and `recgen keys`."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from rec_gen.cli.common import OVERRIDES, Command
from rec_gen.notices import quiet

FILE = click.option(
    "--file",
    type=click.Path(path_type=Path),
    default=Path("keys.json"),
    show_default=True,
    help="The file of keys.",
)


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    help="A TOML file; the flags go before what it says.",
)
@click.option("--host", help="The address to listen on; default: 127.0.0.1.")
@click.option("--port", type=int, help="The port; 0 takes a free one; default: 8000.")
@click.option("--device", help="Where the model runs, such as cpu or cuda.")
@click.option("--keys", type=click.Path(path_type=Path), help="The file of API keys.")
@click.option("--insecure", is_flag=True, default=None, help="Serve other machines without keys.")
@click.option("--store", help="sqlite:///FILE, postgresql://… or redis://…")
@click.option("--cors", "cors_origins", multiple=True, metavar="ORIGIN", help="Allow an origin.")
@click.option("--tls-cert", type=click.Path(path_type=Path), help="A certificate in PEM.")
@click.option("--tls-key", type=click.Path(path_type=Path), help="Its private key in PEM.")
@click.option(
    "--ray",
    metavar="ADDRESS",
    help="Serve on a Ray cluster, auto or HOST:PORT; what runs there is updated without a gap.",
)
@click.option("--mask", is_flag=True, help="Mask personal data in what users say.")
@click.option("--log-level", help="debug, info, warning or error.")
@OVERRIDES
def serve(
    bundle: Path,
    file: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    ray: str | None,
    mask: bool,
    overrides: Sequence[str],
    **flags: object,
) -> None:
    """Serve a BUNDLE over HTTP; the OpenAPI description is at /openapi.json.

    SIGTERM ends it once everything that was accepted is answered.

    \b
    recgen serve runs/quickstart/bundle
    recgen serve runs/quickstart/bundle --port 9000 --set batching.wait_ms=5
    recgen serve runs/quickstart/bundle --host 0.0.0.0 --keys keys.json \\
        --tls-cert cert.pem --tls-key key.pem --store postgresql://recgen@db/recgen
    recgen serve runs/quickstart/bundle --ray auto --store redis://db/0 --set ray.max_replicas=4
    curl localhost:8000/v1/recommendations --json '{"history": ["50", "172"], "k": 5}'
    curl localhost:8000/v1/replies --json '{"messages": [{"role": "user", "content": "a comedy"}]}'
    """
    from rec_gen.config import parse_config, read_toml
    from rec_gen.errors import MissingPackageError
    from serving.config import ServeConfig

    table = {} if file is None else read_toml(file)
    table |= {name: value for name, value in flags.items() if value not in (None, ())}
    if tls_cert or tls_key:
        table["tls"] = {"cert": tls_cert, "key": tls_key}
    own = table.get("ray", {})
    if ray and isinstance(own, dict):  # anything else is refused below
        table["ray"] = {**own, "address": ray}
    if mask:
        table.setdefault("mask", {})
    table["bundle"] = bundle
    config = parse_config(ServeConfig, table, overrides, "serve" if file is None else str(file))
    try:
        if config.ray:
            from serving.ray_cluster import run
        else:
            from serving.server import run
    except ModuleNotFoundError as error:
        extra = "ray" if error.name == "ray" else "serve"
        raise MissingPackageError(error.name or "fastapi", extra) from error
    quiet()
    run(config)


class _Group(Command, click.Group):
    pass


@click.group(cls=_Group)
def keys() -> None:
    """Make, list and revoke API keys; a running server follows at once.

    \b
    recgen keys create --tenant shop
    recgen keys create --tenant shop --scope recommend --user u42 --days 1
    recgen keys list
    recgen keys revoke 0123456789ab
    """


@keys.command()
@FILE
@click.option("--tenant", default="default", show_default=True, help="Whose histories it sees.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    help="recommend, events, catalog, metrics or admin; default: recommend and events.",
)
@click.option("--user", help="The only user that it may act for.")
@click.option(
    "--days", type=click.IntRange(1, 36_500), help="How long it holds; default: for good."
)
def create(
    file: Path, tenant: str, scopes: Sequence[str], user: str | None, days: int | None
) -> None:
    """Make a key and print it; only its hash is kept."""
    from serving.keys import create_key

    expires = None if days is None else datetime.now(UTC) + timedelta(days=days)
    click.echo(create_key(file, tenant, scopes or ("recommend", "events"), user, expires))


@keys.command(name="list")
@FILE
def list_keys(file: Path) -> None:
    """List the keys without their secrets."""
    from serving.keys import KeyFile

    for key in KeyFile(file).keys().values():
        until = "for good" if key.expires is None else f"until {key.expires:%Y-%m-%d %H:%M} UTC"
        user = "all users" if key.user is None else f"user {key.user}"
        click.echo(f"{key.id}  {key.tenant}  {user}  {','.join(key.scopes)}  {until}")


@keys.command()
@FILE
@click.argument("key")
def revoke(file: Path, key: str) -> None:
    """Take back the key with an id."""
    from serving.keys import revoke_key

    revoke_key(file, key)
