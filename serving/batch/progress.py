"""What a person sees of a job: one bar, or a line now and then where there is no terminal."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from serving.batch.work import Done

QUIET_SECONDS = 30.0
"""Between two lines, where there is no terminal."""


def seconds_left(total: float, begun: float, done: float, seconds: float) -> float | None:
    """How long the rest takes at the mean pace of this run; None before anything is done.

    What an earlier run did says nothing of this one's pace, so it does not count.

    Args:
        total: Users of the job.
        begun: Users that were done before.
        done: Users that are done, those before included.
        seconds: Since this run began to answer.
    """
    return None if done <= begun else (total - done) * seconds / (done - begun)


def told(seconds: float | None) -> str:
    """A duration, rounded to what an estimate can say."""
    if seconds is None:
        return "no estimate yet"
    if not seconds:
        return "done"
    minutes = seconds / 60
    if minutes < 1:
        return "under 1 min left"
    return f"{minutes:.0f} min left" if minutes < 100 else f"{minutes / 60:.1f} h left"


class JobProgress:
    """Counts users, and estimates the rest by those of this run.

    Args:
        total: Users of the job.
        begun: Users that were done before.
        console: Where it is shown.
    """

    def __init__(self, total: int, begun: int, console: Console | None = None) -> None:
        self.failed = 0
        self.prompt_tokens = 0
        self._total, self._begun = total, begun
        self._done = self._sure = float(begun)
        self._started = self._spoke = time.monotonic()
        self._bar = Progress(
            TextColumn("users"),
            BarColumn(),
            TextColumn("{task.fields[count]}, {task.fields[left]}"),
            TimeElapsedColumn(),
            console=console or Console(stderr=True),
        )
        self._task = self._bar.add_task("users", total=total, completed=begun, count="", left="")

    def __enter__(self) -> "JobProgress":
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    @property
    def seconds(self) -> float:
        """Since this run began to answer."""
        return time.monotonic() - self._started

    def advance(self, users: float) -> None:
        """A piece of a part, worth so many users, has been answered but not written yet."""
        self._done += users
        self._show()

    def finish(self, done: Done) -> None:
        """A part is written."""
        self._sure += done.users
        self._done = self._sure  # parts of other workers do not tell of their pieces
        self.failed += done.failed
        self.prompt_tokens += done.prompt_tokens
        self._show()

    def _show(self) -> None:
        count, left = self._count(), told(self._left())
        self._bar.update(self._task, completed=self._done, count=count, left=left)
        if not self._bar.console.is_terminal and self._due():
            self._bar.console.print(self._line(), highlight=False)

    def _left(self) -> float | None:
        return seconds_left(self._total, self._begun, self._done, self.seconds)

    def _count(self) -> str:
        failed = f", {self.failed:,} failed" if self.failed else ""
        return f"{self._done:,.0f} of {self._total:,}{failed}"

    def _line(self) -> str:
        return f"users: {self._count()}, {told(self._left())}"

    def _due(self) -> bool:
        now = time.monotonic()
        if now - self._spoke < QUIET_SECONDS:
            return False
        self._spoke = now
        return True
