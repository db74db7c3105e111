"""The Flower app of a client: it trains and ranks when the server asks, on what it has."""

from collections.abc import Callable
from dataclasses import dataclass

from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from rec_gen.errors import ConfigError
from training.federated.local import LocalTraining
from training.federated.records import (
    ARRAYS,
    CONFIG,
    EXAMPLES,
    FIRST,
    GROUND,
    LOSS,
    METRICS,
    MU,
    from_record,
    to_record,
)
from training.federated.secure import answer_masked


@dataclass(frozen=True)
class Client:
    """One client.

    Attributes:
        training: Its rows and examples.
        ground: What it must share with the server; see `training.federated.setup.ground_of`.
        secure: Whether it sends nothing but masked weights.
    """

    training: LocalTraining
    ground: str
    secure: bool

    def check(self, config: ConfigRecord) -> None:
        """Refuse a server of another catalog, base model or recipe.

        Raises:
            ConfigError: It is one.
        """
        if config.get(GROUND) != self.ground:
            raise ConfigError(
                "the server and this client differ in catalog, spellings, base model or recipe: "
                "give both the same"
            )


def client_app(client_of: Callable[[Context], Client]) -> ClientApp:
    """The app of clients.

    Whether a client masks its weights is by its own recipe, so no server can talk it out of that.

    Args:
        client_of: Gives the client that a context belongs to.
    """
    app = ClientApp()

    @app.train()  # type: ignore[untyped-decorator]
    def train(message: Message, context: Context) -> Message:
        client = client_of(context)
        if client.secure:
            return answer_masked(message, context, client.training, client.check)
        config = message.content.config_records[CONFIG]
        client.check(config)
        weights, learnt, loss = client.training.train(
            from_record(message.content.array_records[ARRAYS]),
            int(config[FIRST]),
            float(config[MU]),
        )
        metrics = MetricRecord({EXAMPLES: learnt, LOSS: loss})
        return Message(RecordDict({ARRAYS: to_record(weights), METRICS: metrics}), reply_to=message)

    @app.evaluate()  # type: ignore[untyped-decorator]
    def evaluate(message: Message, context: Context) -> Message:
        client = client_of(context)
        client.check(message.content.config_records[CONFIG])
        found = client.training.evaluate(from_record(message.content.array_records[ARRAYS]))
        count = len(client.training.held)
        means = {name: total / max(count, 1) for name, total in found.items()}
        metrics = MetricRecord({EXAMPLES: count, **means})
        return Message(RecordDict({METRICS: metrics}), reply_to=message)

    return app
