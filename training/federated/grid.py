"""Grids of Flower: one whose clients live in this process, and one that counts bytes."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import uuid4

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from rec_gen.errors import first_line

RUN, SERVER = 1, 0
CLIENT = "partition-id"
"""What Flower calls the number of a client in a simulation."""


class LocalGrid(Grid):  # type: ignore[misc]
    """Runs a client's app in this process, one client after another.

    Flower's own simulation starts an actor of Ray a client, each with the model and its libraries,
    and draws the order; this one shares the model and is a function of its seeds.

    Attributes:
        contexts: What each client is told of itself, and where it keeps its state.
    """

    def __init__(self, app: ClientApp, clients: int) -> None:
        """Set up clients, whose ids count from 1.

        Args:
            app: What each runs; the context tells it its number.
            clients: How many there are.
        """
        TaskIdentity.run_id, TaskIdentity.task_id, TaskIdentity.node_id = RUN, RUN, SERVER
        self._app = app
        self._run = Run.create_empty(run_id=RUN)
        self._replies: dict[str, Message] = {}
        self.contexts: Mapping[int, Context] = {
            client: Context(RUN, client, {CLIENT: client}, RecordDict(), {})
            for client in range(1, clients + 1)
        }

    def set_run(self, run: Run) -> None:
        """Take another run's name."""
        self._run = run

    @property
    def run(self) -> Run:
        """The run."""
        return self._run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """A message to a client."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """The clients."""
        return list(self.contexts)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Let clients answer; what one of them raises is an answer, too."""
        ids = []
        for message in messages:
            message.metadata.__dict__["_message_id"] = str(uuid4())
            # a client must not see what another does to a record that both were sent
            message.content = recorddict_from_proto(recorddict_to_proto(message.content))
            ids.append(message.metadata.message_id)
            try:
                reply = self._app(message, self.contexts[message.metadata.dst_node_id])
            except Exception as error:  # noqa: BLE001 - a client's failure is not the server's
                reason = Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, first_line(error))
                reply = Message(reason, reply_to=message)
            self._replies[message.metadata.message_id] = reply
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """The answers to some messages."""
        return [self._replies.pop(each) for each in message_ids if each in self._replies]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Send, and take the answers, which are there at once."""
        return self.pull_messages(self.push_messages(messages))


class CountedGrid:
    """A grid that counts the bytes of what its messages carry, whatever sends them.

    Attributes:
        sent: Bytes to clients.
        received: Bytes from them.
    """

    def __init__(self, grid: Grid) -> None:
        self.sent = self.received = 0
        self._grid = grid

    def __getattr__(self, name: str) -> Any:
        return getattr(self._grid, name)

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        """Send and receive, and count."""
        messages = list(messages)
        self.sent += sum(map(content_bytes, messages))
        replies = list(self._grid.send_and_receive(messages, timeout=timeout))
        self.received += sum(map(content_bytes, replies))
        return replies


def content_bytes(message: Message) -> int:
    """The bytes of a message's records on the wire, without Flower's envelope."""
    if not message.has_content():
        return 0
    return int(recorddict_to_proto(message.content).ByteSize())
