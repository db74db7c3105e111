"""Runs commands of `recgen`, each in a process of its own that need not import everything first.

`python -m tests.warm` forks a process for each line of JSON on its standard input and prints the
exit code.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path

from rec_gen.cli import main

SLOW = ("eval.benchmark", "eval.evaluate", "eval.report", "rec_gen.recommender", "training.sft")
"""Modules that bring what takes seconds to import, such as torch."""


class Warm:
    """The process whose children run the commands."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def execute(self, folder: Path, arguments: list[str]) -> "subprocess.CompletedProcess[str]":
        """Run `recgen` in a folder."""
        out, err = folder / "stdout.txt", folder / "stderr.txt"
        told = {"folder": str(folder), "arguments": arguments, "out": str(out), "err": str(err)}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(told), file=self._process.stdin, flush=True)
        code = int(self._process.stdout.readline())
        return subprocess.CompletedProcess(arguments, code, out.read_text(), err.read_text())


@contextmanager
def warm(environment: dict[str, str]) -> Iterator[Warm]:
    """The process, until the block ends."""
    command = [sys.executable, "-m", "tests.warm"]
    root, pipe = Path(__file__).parent.parent, subprocess.PIPE
    with subprocess.Popen(
        command, cwd=root, env=environment, stdin=pipe, stdout=pipe, text=True
    ) as process:
        yield Warm(process)


def _run(folder: str, arguments: list[str], out: str, err: str) -> None:
    os.chdir(folder)
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    sys.argv = ["recgen", *arguments]
    main()


def _serve() -> None:
    for module in SLOW:
        import_module(module)
    fork = get_context("fork")
    for line in iter(sys.stdin.readline, ""):
        child = fork.Process(target=_run, kwargs=json.loads(line))
        child.start()
        child.join()
        print(child.exitcode, flush=True)


if __name__ == "__main__":
    _serve()
