"""A conversation remembers; a reply crosses to another process as plain values."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from rec_gen.conversation import Conversation
from rec_gen.errors import DataError
from rec_gen.index import Filters
from rec_gen.recommender import Recommender
from rec_gen.remote import RemoteRecommender, answer_call
from rec_gen.replying import Reply, Turn
from rec_gen.testing import random_bundle
from tests.rec_gen.test_wishes import FILMS


@pytest.fixture(scope="module")
def recommender() -> Recommender:
    return Recommender(random_bundle(FILMS, "item", tasks=["reply"]))


def ids(reply: Reply) -> list[str]:
    return [one.item.id for one in reply.items]


def words(reply: Reply) -> list[str]:
    return [wish.said for wish in reply.understood]


def test_wishes_and_items_of_all_turns_count(recommender: Recommender) -> None:
    talk = Conversation(recommender, ["m5"], items=1, max_tokens=4)
    first = talk.say("no horror")
    second = talk.say("seen it")
    assert words(second) == ["no horror", "seen it"]
    assert set(second.filters.block) == {"m5", *ids(first)}
    assert talk.turns[1] == Turn("assistant", first.text, tuple(ids(first)))
    third = talk.say("another one")
    assert set(ids(third)).isdisjoint({"m2", "m5", *ids(first), *ids(second)})
    assert len(talk.turns) == 6


def test_a_wish_is_dropped_until_it_is_said_again(recommender: Recommender) -> None:
    talk = Conversation(recommender, items=1, max_tokens=4)
    talk.say("no horror, only after 2000")
    (dropped,) = talk.forget("AFTER")
    assert dropped.said == "only after 2000"
    assert talk.forget("after") == ()
    assert words(talk.say("more")) == ["no horror"]
    assert words(talk.say("well, only after 2000"))[-1] == "only after 2000"
    talk.forget("horror")
    assert talk.ignored == ["1: only after 2000", "3: no horror"]
    assert "no horror" not in words(talk.say("no horror movies"))
    talk.reset()
    assert not talk.say("hi").understood


def test_a_message_that_fails_is_not_remembered(recommender: Recommender) -> None:
    talk = Conversation(recommender, ["m9"])
    with pytest.raises(DataError, match="item 'm9' is not in the catalog"):
        talk.say("hi")
    assert not talk.turns


@pytest.mark.parametrize("filters", [None, [Filters(("m1",), ["m1", "m2", "m4"], "year < 2010")]])
def test_another_process_replies_the_same(
    recommender: Recommender, filters: Sequence[Filters] | None
) -> None:
    def call(
        method: str, arguments: list[Any], options: dict[str, Any], *, domain: str | None = None
    ) -> Any:
        sent = json.loads(json.dumps([method, arguments, options, domain]))
        return json.loads(json.dumps(answer_call({"films": recommender}, *sent)))

    remote = RemoteRecommender(recommender.bundle, call)
    turns = [Turn("user", "hi"), Turn("assistant", "Up", ("m3",)), Turn("user", "not Up, cheaper")]
    options: dict[str, Any] = {"ignore": [("not Up",)], "filters": filters, "max_tokens": 5}
    (there,) = remote.reply([turns], [("m5",)], **options)
    (here,) = recommender.reply([turns], [("m5",)], **options)
    assert there == here
    assert words(Conversation(remote, max_tokens=3).say("no horror")) == ["no horror"]
    with pytest.raises(DataError, match="must end with a turn of the user"):
        remote.reply([[]])
