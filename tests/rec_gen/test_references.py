"""What was shown can be refused, was seen, or is asked for again."""

import pytest

from tests.rec_gen.wordings import SHOWN, heard, understood


@pytest.mark.parametrize(
    ("message", "blocked"),
    [
        ("I don't want the first one", ["ring"]),
        ("I hate the second one", ["signs"]),
        ("skip the first one", ["ring"]),
        ("don't skip the first one", None),
        ("anything except the third", ["scream"]),
        ("I didn't like the second one", ["signs"]),
        ("none of these", [*SHOWN]),
        ("none of them, please", [*SHOWN]),
        ("I don't like any of these", [*SHOWN]),
        ("don't like any of these", [*SHOWN]),
        ("I do not want to see those", [*SHOWN]),
        ("not the second one", ["signs"]),
        ("not that one", ["ring"]),
        ("not the first two", ["ring", "signs"]),
        ("I've seen it", ["ring"]),
        ("already seen them all", [*SHOWN]),
        ("I have the second one already", ["signs"]),
        ("I read the last one", ["scream"]),
        ("I have seen Signs, The Ring and Scream", ["signs", "ring", "scream"]),
        ("I have seen Scream and Inception", ["scream", "inception"]),
        ("I own Inception", ["inception"]),
        ("not Inception", ["inception"]),
        ("something else", [*SHOWN]),
    ],
)
def test_what_is_refused_or_was_seen_does_not_come_back(
    message: str, blocked: list[str] | None
) -> None:
    assert understood(message) == [f"-{item}" for item in blocked or []]
    refused = set(blocked or ["ring"]) & set(SHOWN)
    assert refused <= set(heard(message).recommended)


@pytest.mark.parametrize(
    "message",
    [
        "the second one is boring",
        "is the second one scary?",
        "I haven't seen it",
        "I've never seen the second one",
        "have you seen it?",
        "have you seen the second one?",
        "I haven't seen Scream yet",
        "I have the time",
        "I have read the book",
        "I know that feeling",
        "You know that I want something good",
        "I had the flu",
        "has anyone seen Scream?",
        "the first time I saw a film",
        "I don't want it to be silly",
        "I don't know that",
        "I want to read Scream",
        "my friend saw Scream",
        "I heard Inception is good",
        "I didn't see Scream",
        "I didn't watch it",
    ],
)
def test_what_was_not_stated_blocks_nothing(message: str) -> None:
    assert not understood(message)


@pytest.mark.parametrize(
    ("message", "again"),
    [
        ("do you have the second one in HD", {"signs"}),
        ("tell me about the second one", {"signs"}),
        ("I'd like the second one", {"signs"}),
        ("the second one, please", {"signs"}),
        ("show me the first two again", {"ring", "signs"}),
        ("don't show me the first one", set()),
        ("the second one is boring", set()),
        ("is the second one scary?", set()),
        ("like the second one", set()),
        ("reply with The Ring", set()),
        ("every horror film but The Ring", set()),
        ("The Ring please", {"ring"}),
        ("something similar to Scream", set()),
    ],
)
def test_only_what_is_asked_for_may_come_again(message: str, again: set[str]) -> None:
    assert set(SHOWN) - set(heard(message).recommended) == again
    assert not understood(message) or not again
