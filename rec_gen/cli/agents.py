"""`recgen mcp` and `recgen schema`."""

import json
from pathlib import Path

import click

from rec_gen.notices import quiet


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--device", help="Where the model runs, such as cpu or cuda.")
@click.option("--domain", help="Which catalog, where the bundle has several; default: its first.")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="What is logged to stderr.",
)
@click.option("--mask", is_flag=True, help="Mask personal data in what users say.")
def mcp(bundle: Path, device: str | None, domain: str | None, log_level: str, mask: bool) -> None:
    """Give a BUNDLE to agents as tools, by the Model Context Protocol over stdin and stdout.

    An agent starts this command itself. Its tools are `recommend`, `search_items` and, where the
    model has learnt them, `explain` and `reply`. It ends when the agent leaves.

    \b
    recgen mcp runs/quickstart/bundle

    In the configuration of an agent:

    \b
    {"mcpServers": {"films": {
        "command": "recgen", "args": ["mcp", "runs/quickstart/bundle"]}}}
    """
    from rec_gen.errors import MissingPackageError

    try:
        from serving.tools.mcp_server import run
    except ModuleNotFoundError as error:
        raise MissingPackageError(error.name or "mcp", "serve") from error
    quiet()
    run(bundle, device, log_level, mask=mask, domain=domain)


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
def schema(bundle: Path) -> None:
    """Print the tools of a BUNDLE as functions of OpenAI's API, in its strict mode.

    They are those of `recgen mcp`, and what a running server tells at `/v1/tools`.

    \b
    recgen schema runs/quickstart/bundle
    recgen schema runs/quickstart/bundle > tools.json
    """
    from rec_gen.bundle import Bundle
    from serving.engine import learnt_tasks
    from serving.tools.function_schemas import function_schema
    from serving.tools.offered import offered_tools

    quiet()
    loaded = Bundle.load(bundle, weights=False)
    tools = offered_tools(learnt_tasks(loaded), loaded.catalog.frame.columns)
    click.echo(json.dumps([function_schema(tool) for tool in tools], indent=2, ensure_ascii=False))
