"""What a manifest says of clients that trained a model together."""

from typing import Any

from rec_gen.config import Config


class Federation(Config):
    """How clients that kept their interactions trained an adapter.

    Attributes:
        settings: The options.
        clients: How many took part in any round.
        rounds: The rounds that were made.
        best_round: The round whose weights are kept.
        sent: Bytes of messages to clients, over all rounds.
        received: Bytes of messages from them.
    """

    settings: dict[str, Any]
    clients: int
    rounds: int
    best_round: int
    sent: int
    received: int
