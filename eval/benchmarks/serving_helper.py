"""A process beside a benchmark that works until it is told to end, and then reports."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

import click

Work = Callable[[dict[str, Any], asyncio.Event], Awaitable[dict[str, Any]]]


class Helper:
    """A running helper."""

    def __init__(self, module: str, plan: dict[str, Any]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._write(json.dumps(plan) + "\n")
        self._read()

    def end(self) -> dict[str, Any]:
        """Tell it to end; what it reports.

        Raises:
            ClickException: It failed.
        """
        self._write("end\n")
        report: dict[str, Any] = json.loads(self._read())
        self.close()
        return report

    def close(self) -> None:
        """End it, without a report."""
        if self._process.poll() is None:
            self._process.terminate()
        self._process.communicate()

    def _write(self, text: str) -> None:
        assert self._process.stdin is not None  # noqa: S101 - a pipe
        with suppress(BrokenPipeError):  # the reader tells
            self._process.stdin.write(text)
            self._process.stdin.flush()

    def _read(self) -> str:
        assert self._process.stdout is not None  # noqa: S101 - a pipe
        if line := self._process.stdout.readline():
            return line
        raise click.ClickException(f"{self._process.args!r} failed")


@contextmanager
def helping(module: str, plan: dict[str, Any]) -> Iterator[Helper]:
    """A helper that has begun its work; it is gone when the block ends.

    Args:
        module: A module of this package that calls `help_out`.
        plan: What it is told.
    """
    helper = Helper(module, plan)
    try:
        yield helper
    finally:
        helper.close()


def help_out(work: Work) -> None:
    """Be the helper: do the work, on uvloop where it is installed, and report.

    Args:
        work: Works on a plan until an event is set, and returns what is reported.
    """
    new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    with suppress(ModuleNotFoundError):
        new_loop = import_module("uvloop").new_event_loop
    plan = json.loads(sys.stdin.readline())

    async def helped() -> dict[str, Any]:
        ended = asyncio.Event()
        loop, told = asyncio.get_running_loop(), sys.stdin.fileno()

        def end() -> None:
            loop.remove_reader(told)
            ended.set()

        loop.add_reader(told, end)
        click.echo("begun")
        return await work(plan, ended)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        click.echo(json.dumps(runner.run(helped())))
