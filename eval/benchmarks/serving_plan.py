"""What load is put on a server, what came of it, and the load itself, in a process beside it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from eval.benchmarks.serving_helper import Helper, helping

UNREACHABLE, CUT = 0, 1
"""What stands for a status where there was no connection, or it ended before the answer."""
NEVER = (float("inf"), float("-inf"))


@dataclass(frozen=True)
class Plan:
    """What is asked.

    Attributes:
        url: Where the server listens.
        items: The ids that the catalog has from beginning to end.
        clients: Clients of the closed loop; connections, at most, of the open one.
        rate: Requests a second of the open loop; None for the closed one.
        users: Users that are asked for, with the histories that are kept of them; histories are
            drawn and sent along where there is none.
        rows: Whether each request is reported.
        seed: Of histories and times.
    """

    url: str
    items: list[str]
    clients: int = 64
    rate: float | None = None
    users: dict[str, list[str]] = field(default_factory=dict)
    rows: bool = False
    seed: int = 0


@dataclass
class Load:
    """What came of it. Only answers until the end was told count for the rate.

    Attributes:
        statuses: How often each status came; `UNREACHABLE` and `CUT` where none did.
        invalid: Items that are not what was asked for.
        bare_refusals: Answers with 429 and no `Retry-After` of a second or more.
        strangers: Ids that are not in the plan, with the times of request and answer: items that
            were added meanwhile, or wrong ones.
        ms: The 50th, 95th and 99th percentile of the milliseconds of answers with 200.
        rate: Answers with 200 a second.
        cores: The share of a core that this client took.
        rows: The id, time of request, time of answer and status of each, where they were asked for.
    """

    statuses: dict[int, int]
    invalid: int
    bare_refusals: int
    strangers: list[tuple[str, float, float]]
    ms: tuple[float, float, float]
    rate: float
    cores: float
    rows: list[tuple[str, float, float, int]]

    def errors(self, *allowed: int) -> int:
        """How many answers are neither 200 nor allowed."""
        return sum(n for status, n in self.statuses.items() if status not in (200, *allowed))

    def wrong_items(self, lives: dict[str, tuple[float, float]] | None = None) -> int:
        """Items that could not have been recommended.

        Args:
            lives: From when to when items of others were in the catalog: their putting was sent,
                their removal was acknowledged.
        """
        known = lives or {}
        wrong = 0
        for item, asked, answered in self.strangers:
            since, until = known.get(item, NEVER)
            wrong += not (since <= answered and asked <= until)
        return self.invalid + wrong


@contextmanager
def loading(plan: Plan) -> Iterator[Helper]:
    """Load on a server while the block runs."""
    with helping("eval.benchmarks.serving_load", asdict(plan)) as helper:
        yield helper


def ended(helper: Helper) -> Load:
    """End the load; what came of it."""
    report = helper.end()
    report["statuses"] = {int(status): n for status, n in report["statuses"].items()}
    return Load(**report)


def load(plan: Plan, seconds: float) -> Load:
    """Load a server for some seconds."""
    with loading(plan) as helper:
        time.sleep(seconds)
        return ended(helper)
