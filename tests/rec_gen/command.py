"""The command `recgen` in this process, and the mapping of tables to call it on."""

from click.testing import CliRunner, Result

from rec_gen.cli import main

SHOP = """
[interactions]
path = "{folder}/log.csv"

[items]
path = "{folder}/items.csv"
"""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def error(*arguments: object) -> tuple[int, str]:
    result = run(*arguments)
    lines = [line for line in result.stderr.splitlines() if line.startswith("recgen: ")]
    assert len(lines) == 1, result.output
    return result.exit_code, lines[0]
