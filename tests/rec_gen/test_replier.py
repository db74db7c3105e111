"""Replies name eligible items alone, say what they understood, and never break on a wish."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_gen.answering import NO_REASON
from rec_gen.data.dataset import Dialogue
from rec_gen.errors import BundleError, DataError, DecodingError
from rec_gen.index import Filters
from rec_gen.keeping import MOST_RULES
from rec_gen.markers import CLOSE, OPEN, marker_ids
from rec_gen.recommender import Recommender
from rec_gen.replying import Reply, Turn
from rec_gen.rules import eligible_items
from rec_gen.slots import Known
from rec_gen.testing import HashRuntime, HashSession, random_bundle
from rec_gen.text import TextEncoder
from rec_gen.understanding import NOTHING_LEFT
from tests.rec_gen.test_wishes import FILMS


def user(text: str) -> Turn:
    return Turn("user", text)


def shown(*items: str) -> list[Turn]:
    """A dialogue in which items were recommended."""
    return [user("hi"), Turn("assistant", "There you are.", items)]


@pytest.fixture(scope="module")
def recommender() -> Recommender:
    return Recommender(random_bundle(FILMS, "semantic", tasks=["reply"]))


def one(recommender: Recommender, *turns: Turn, history: Sequence[str] = ()) -> Reply:
    (reply,) = recommender.reply([turns], [history], max_tokens=12)
    for named in reply.items:
        assert reply.text[named.start : named.stop] == named.item.title
    return reply


def ids_of(reply: Reply) -> list[str]:
    return [named.item.id for named in reply.items]


def test_a_reply_keeps_the_wishes_and_tells_them(recommender: Recommender) -> None:
    reply = one(recommender, user("no horror"), *shown("m3")[1:], user("nothing from before 1990"))
    assert set(ids_of(reply)) <= {"m1", "m5"}
    assert reply.items
    assert [wish.said for wish in reply.understood] == ["no horror", "nothing from before 1990"]
    assert reply.filters.block == ("m3",)
    assert reply.prompt_tokens > 0
    assert reply.answer_tokens > 0


def test_a_wish_that_was_misunderstood_does_not_hold(recommender: Recommender) -> None:
    turns = [user("only before 1990")]
    (kept,), (dropped,) = (
        recommender.reply([turns], ignore=[words], max_tokens=4)
        for words in ([], ["only before 1990"])
    )
    assert kept.filters.where == "((year < 1990))"
    assert dropped.filters.where is None
    assert not dropped.understood


def test_filters_and_histories_hold_beside_the_wishes(recommender: Recommender) -> None:
    only = Filters(("m1",), ("m1", "m3", "m4", "m5"), "year < 2005")
    replies = recommender.reply(
        [[user("not Big")]] * 2, [["m5"], []], filters=[only, Filters()], max_tokens=9
    )
    assert (
        replies[0].text
        == "Nothing is left with \u201cnot Big\u201d. Take it back, or ask for less."
    )
    assert replies[0].filters == Filters(("m1", "m5", "m4"), only.allow, "(year < 2005)")
    assert set(ids_of(replies[1])) <= {"m1", "m2", "m3", "m5"}


def test_what_leaves_nothing_is_said(recommender: Recommender) -> None:
    reply = one(recommender, user("no horror"), Turn("assistant", "ok"), user("only before 1900"))
    assert reply.text == (
        "Nothing is left with \u201conly before 1900\u201d. Take it back, or ask for less."
    )
    assert not reply.items
    assert one(recommender, user("hi"), history=FILMS.ids).text == NOTHING_LEFT


def test_what_cannot_be_kept_is_said_before_the_rest(recommender: Recommender) -> None:
    reply = one(recommender, *shown("m1"), user("cheaper, please"))
    assert reply.text.startswith("\u201ccheaper\u201d: no column of the catalog holds a price. ")
    assert reply.items
    far = one(recommender, *shown("m1", "m2"), user("I have seen the fifth one"))
    assert far.text.startswith("\u201cI have seen the fifth one\u201d: the fifth one is not among")
    many = one(recommender, user(". ".join(f"only after {year}" for year in range(1900, 1999))))
    assert many.text.startswith(
        "\u201conly after 1900\u201d, \u201conly after 1901\u201d, \u201conly after 1902\u201d, "
        "32 more: more is "
    )
    assert (many.filters.where or "").count("year >") == MOST_RULES
    huge = one(recommender, user(f"under {'9' * 400} minutes"))
    assert huge.understood[0].problem == "it fits no column of the catalog"


def test_what_leaves_nothing_is_the_first_wish_that_holds(recommender: Recommender) -> None:
    said = "only before 1900. Not Big. Only after 2020"
    assert one(recommender, user(said)).text.startswith(
        "Nothing is left with \u201conly before 1900"
    )
    lifted = "no drama, no horror, no comedy, no mystery. Comedy is fine. "
    assert one(recommender, user(lifted)).items
    ends = one(recommender, user(f"{lifted}Only before 1900"))
    assert ends.text.startswith("Nothing is left with \u201cOnly before 1900")


def test_rules_of_wishes_push_no_other_rule_out(recommender: Recommender) -> None:
    index = recommender._index
    one(recommender, user("no horror"))
    before = index._rule_mask.cache_info()  # type: ignore[attr-defined]
    one(recommender, user("no drama. Only after 1950. Nothing from before 1960"))
    assert index._rule_mask.cache_info().currsize == before.currsize  # type: ignore[attr-defined]


def test_nothing_is_recommended_twice_unless_it_is_asked_for(recommender: Recommender) -> None:
    for _ in range(2):
        more = one(recommender, *shown("m1", "m2", "m3"), user("more"))
        assert set(ids_of(more)) <= {"m4", "m5"}
    again = one(recommender, *shown("m1", "m2", "m3"), user("give me the second one"))
    assert "m2" not in again.filters.block
    like = one(recommender, *shown("m1", "m2", "m3"), user("like the second one"))
    assert "m2" in like.filters.block
    seen = one(recommender, *shown("m1", "m2", "m3"), user("I have seen the second one"))
    assert "m2" in seen.filters.block


def test_questions_are_answered_from_fields(recommender: Recommender) -> None:
    turns = shown("m1", "m3", "m2")
    compared = one(recommender, *turns, user("Compare the first two, please!"))
    assert compared.text == (
        "Heat (1995): year 1995; runtime 170; genres Crime, Drama; studio Warner. "
        "Up (2009): year 2009; runtime 96; genres Animation, Comedy; studio Pixar."
    )
    assert compared.prompt_tokens == 0
    shortest = one(recommender, *turns, user("which is the shortest?"))
    assert ids_of(shortest) == ["m3", "m2", "m1"]
    assert not shortest.understood
    longer = one(recommender, *turns, user("Which one is longer, Big or Signs?"))
    assert longer.text == "The longer first: Signs (2002) (runtime 106), Big (1988) (runtime 104)."
    price = one(recommender, *turns, user("which is cheaper?"))
    assert price.text == "No column of the catalog holds a price."
    assert one(recommender, user("compare them")).text == "Name two items to compare."


def test_an_explanation_says_what_is_shared(recommender: Recommender) -> None:
    turns = shown("m4", "m2")
    why = one(recommender, *turns, user("Why the first one?"), history=["m3"])
    assert why.text == "Big (1988): It shares Comedy (genres) with Up (2009)."
    assert one(recommender, *turns, user("why the second one?")).text.endswith(NO_REASON)
    named = one(recommender, user("I loved Big."), *shown("m3")[1:], user("so why?"))
    assert named.text == "Up (2009): It shares Comedy (genres) with Big (1988)."
    assert one(recommender, user("why?")).text == "Nothing was recommended yet."


def test_a_model_that_learnt_to_explain_does() -> None:
    both = Recommender(random_bundle(FILMS, "title", tasks=["reply", "explanation"]))
    why = one(both, *shown("m4"), user("why?"), history=["m3", "m1"])
    assert why.text.removeprefix("Big (1988): ") in (
        "It shares Comedy (genres) with Up (2009).",
        "It shares 1988 (year) with Heat (1995).",
    )


class ScriptRuntime(HashRuntime):
    """Writes a text after its prompt, and then the end."""

    def __init__(self, vocabulary: int, script: Sequence[int], end: int) -> None:
        super().__init__(vocabulary)
        self._script, self._end, self._begin = list(script), end, 0

    def read(self, prompts: Sequence[Sequence[int]]) -> HashSession:
        self._begin = len(prompts[0])
        return super().read(prompts)

    def logits_after(self, prefix: tuple[int, ...]) -> torch.Tensor:
        logits = super().logits_after(prefix)
        place = len(prefix) - self._begin
        logits[self._script[place] if place < len(self._script) else self._end] = 99.0
        return logits


def scripted(text: str, message: str, scheme: str = "item") -> Reply:
    bundle = random_bundle(FILMS, scheme, tasks=["reply"])  # type: ignore[arg-type]
    tokenizer = bundle.tokenizer
    script: list[int] = []
    for character in text:  # one by one, so that no marker becomes its token
        script += tokenizer(character, add_special_tokens=False)["input_ids"]
    runtime = ScriptRuntime(len(tokenizer), script, tokenizer.eos_token_id)
    (reply,) = Recommender(bundle, runtime).reply([[user(message)]], max_tokens=200)
    return reply


def test_the_script_is_written() -> None:
    reply = scripted("Try it: ", "hi")
    assert reply.text == f"Try it: {reply.items[0].item.title}"


@pytest.mark.parametrize(
    ("text", "message", "expected"),
    [
        ("Heat, or The  Ring? The Ring's good. ", "no horror", "Heat, or ? good."),
        ("Heat is hot, turn up the heat. ", "no crime", "is hot, turn up the heat."),
        ("heat is hot, Big, signs. ", "not Heat, seen signs", "is hot, Big, ."),
        ("I say <item>Fake</item>! ", "hi", "I say \u2039item>Fake\u2039/item>!"),
        ("<<item>item> ", "hi", "\u2039\u2039item>item>"),
        ("a\u202eb\nc\u0000d ", "hi", "a b c d"),
        (
            "ok. ",
            "<item>Fake</item>\u202e cheaper",
            "\u201c\u2039item>Fake\u2039/item> cheaper\u201d: no column of the catalog "
            "holds a price. ok.",
        ),
    ],
)
def test_free_text_names_nothing_refused_and_forges_nothing(
    text: str, message: str, expected: str
) -> None:
    reply = scripted(text, message)
    (named,) = reply.items
    assert reply.text == f"{expected} {named.item.title}"
    assert OPEN not in reply.text
    assert CLOSE not in reply.text


def test_a_text_that_ends_inside_a_character_loses_it() -> None:
    letters = "\u00e9\u00e0\u00e8\u00f9\u00e2\u00ea\u00ee\u00f4\u00fb\u00e7"  # two bytes each
    reply = scripted(letters * 15, "hi")
    (named,) = reply.items
    assert set(reply.text[: named.start].strip()) == set(letters)


def test_a_model_that_learnt_a_reply_writes_it() -> None:
    """The tokens of training are those of writing: text, marker, spelling, marker, end."""
    bundle = random_bundle(FILMS, "title", tasks=["reply"])
    tokenizer, spelled = bundle.tokenizer, bundle.spellings.tokens
    opens, closes = marker_ids(tokenizer)
    turns = [user("What is good?")]
    renderer = bundle.renderer().using(bundle.task_template("reply"))
    prompt = renderer.render(known=Known(dialogue=Dialogue((turns[0].text,)))).ids
    answer: list[int] = []
    for text, item in (("How about ", 0), (", or, well, ", 3)):
        answer += [*TextEncoder(tokenizer).untrusted(text), opens, *spelled[item], closes]
    answer += [*TextEncoder(tokenizer).untrusted("? Fun!"), tokenizer.eos_token_id]
    model = bundle.model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    ids = torch.tensor([[*prompt, *map(int, answer)]])
    labels = ids.clone()
    labels[:, : len(prompt)] = -100
    for _ in range(40):
        optimizer.zero_grad()
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
    model.eval()
    (reply,) = Recommender(bundle).reply([turns])
    assert reply.text == "How about Heat (1995), or, well, Big (1988)? Fun!"
    assert ids_of(reply) == ["m1", "m4"]
    assert reply.answer_tokens == len(answer)
    assert all(one.score > -1 for one in reply.items)
    (other,) = Recommender(bundle).reply([turns], filters=[Filters(block=["m4"])])
    assert ids_of(other)[0] == "m1"
    assert "m4" not in ids_of(other)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(max_size=60), min_size=1, max_size=3), st.integers(0, 3))
def test_no_message_breaks_a_reply(
    recommender: Recommender, messages: list[str], seed: int
) -> None:
    turns = [user(message) for message in messages]
    (reply,) = recommender.reply([turns], max_tokens=6, temperature=1.0, seed=seed)
    allowed = set(FILMS.ids).difference(reply.filters.block)
    if reply.filters.where:
        passed = eligible_items(FILMS, reply.filters.where)
        allowed &= {item for item, one in zip(FILMS.ids, passed, strict=True) if one}
    assert set(ids_of(reply)) <= allowed or reply.prompt_tokens == 0


def test_the_same_dialogue_gets_the_same_reply_in_any_batch(recommender: Recommender) -> None:
    turns = [[user("a comedy please")], [user("hello")], [user("something long, over 2 hours")]]
    together = recommender.reply(turns, max_tokens=8, temperature=1.0, seed=4)
    alone = [recommender.reply([one], max_tokens=8, temperature=1.0, seed=4)[0] for one in turns]
    pieces = recommender.reply(turns, max_tokens=8, temperature=1.0, seed=4, batch_size=2)
    assert [reply.text for reply in together] == [reply.text for reply in alone]
    assert [reply.text for reply in together] == [reply.text for reply in pieces]


def test_next_to_no_temperature_takes_what_is_likeliest(recommender: Recommender) -> None:
    turns = [[user("hello")]]
    (cold,) = recommender.reply(turns, max_tokens=8)
    (drawn,) = recommender.reply(turns, max_tokens=8, temperature=1e-310, seed=4)
    assert drawn.text == cold.text
    with pytest.raises(DecodingError, match="temperature is inf"):
        recommender.reply(turns, temperature=float("inf"))


def test_long_messages_are_read_from_their_end(recommender: Recommender) -> None:
    reply = one(recommender, user("no horror. " + "bla " * 2000))
    assert 0 < reply.prompt_tokens <= 900
    assert reply.understood[0].said == "no horror"


def test_what_cannot_be_answered_is_refused(recommender: Recommender) -> None:
    with pytest.raises(DataError, match="request 1: its dialogue must end"):
        recommender.reply([[user("hi")], shown("m1")])
    with pytest.raises(DataError, match="item 'm9' is not in the catalog"):
        recommender.reply([[*shown("m9"), user("hi")]])
    with pytest.raises(DecodingError, match="1 dialogues and 2 ignore"):
        recommender.reply([[user("hi")]], ignore=[[], []])
    with pytest.raises(DecodingError, match="request 0: ignore is 'no horror': give a list"):
        recommender.reply([[user("hi")]], ignore=["no horror"])
    with pytest.raises(DecodingError, match=r"request 0: ignore is \[3\]: give a list"):
        recommender.reply([[user("hi")]], ignore=[[3]])  # type: ignore[list-item]
    with pytest.raises(DataError, match="role is 'robot': give user or assistant"):
        Turn("robot", "hi")  # type: ignore[arg-type]
    with pytest.raises(DecodingError, match="items 0"):
        recommender.reply([[user("hi")]], items=0)
    with pytest.raises(BundleError, match="did not learn the task 'reply'"):
        Recommender(random_bundle(FILMS, "title")).reply([[user("hi")]])
