"""A conversation with one person: what was said and recommended, and what does not hold."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rec_gen.replying import Reply, Turn
from rec_gen.wishes import Wish

if TYPE_CHECKING:
    from rec_gen.recommender import Recommender
    from rec_gen.remote import RemoteRecommender


class Conversation:
    """Remembers the turns; wishes hold until they are taken back, however long ago they were said.

    Args:
        recommender: Replies, see `Recommender.reply`.
        history: Ids of the items that the person had before, oldest first.
        options: Of each reply, such as `items=5`.

    Attributes:
        turns: Oldest first.
        ignored: Which wishes do not hold, each with the number of the message up to which, see
            `Recommender.reply`.
        understood: The wishes that held in the last reply.

    Example:
        >>> talk = Conversation(Recommender.load("runs/talk/bundle"))  # doctest: +SKIP
        >>> talk.say("something funny, but not horror").text  # doctest: +SKIP
    """

    def __init__(
        self,
        recommender: "Recommender | RemoteRecommender",
        history: Sequence[str] = (),
        **options: Any,
    ) -> None:
        self._recommender, self._history, self._options = recommender, list(history), options
        self.reset()

    def reset(self) -> None:
        """Forget all that was said."""
        self.turns: list[Turn] = []
        self.ignored: list[str] = []
        self.understood: tuple[Wish, ...] = ()

    def say(self, message: str) -> Reply:
        """The reply to a message; both are remembered, unless it raises.

        A wish that was dropped holds again once its words are said again.
        """
        turns = [*self.turns, Turn("user", message)]
        (reply,) = self._recommender.reply(
            [turns], [self._history], ignore=[self.ignored], **self._options
        )
        items = tuple(dict.fromkeys(one.item.id for one in reply.items))
        self.turns = [*turns, Turn("assistant", reply.text, items)]
        self.understood = reply.understood
        return reply

    def forget(self, words: str) -> tuple[Wish, ...]:
        """Drop the wishes of the last reply whose words hold some words, and return them."""
        dropped = tuple(
            wish for wish in self.understood if words.casefold() in wish.said.casefold()
        )
        heard = sum(turn.role == "user" for turn in self.turns)
        self.ignored += [f"{heard}: {wish.said}" for wish in dropped]
        self.understood = tuple(wish for wish in self.understood if wish not in dropped)
        return dropped
