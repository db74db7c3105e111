"""Personal data is found by pattern and checksum, and what stands for it is found by nobody."""

import logging
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.benchmarks.masking_cases import FORMS, cases
from rec_gen.errors import ConfigError
from rec_gen.masking import PLACEHOLDERS, Masker, Masking
from rec_gen.pseudonyms import pseudonym
from rec_gen.testing import tiny_tokenizer
from rec_gen.text import TextEncoder, clean_words

MISSED = {
    "spoken, a at b dot c", "national, of other countries", "a domain alone", "a name",
}  # fmt: skip


@pytest.fixture(scope="module")
def masker() -> Masker:
    return Masker(Masking())


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Ann <ann.b+c@shop.example>", "Ann <[email-address]>"),
        ("see https://a.example/x?mail=b@c.de.", "see [web-address]."),
        ("ok...a.example/x and -b.example/y", "ok...[web-address] and [web-address]"),
        ("a@b.de c@d.de", "[email-address] [email-address]"),
        ("Seven (1995), 2001: A Space Odyssey, 3:10 to Yuma", None),
        ("Scotch 3/4 in. x 1,296 in., 12 pack, $19.99", None),
        ("4111 1111 1111 1112 is no card", None),
        ("::", None),
        ("", None),
    ],
)
def test_what_is_found_is_replaced(masker: Masker, text: str, masked: str | None) -> None:
    assert masker.mask(text).text == (text if masked is None else masked)


def test_each_form_is_found_but_those_that_are_said_to_be_missed(masker: Masker) -> None:
    for case in cases(2, seed=0):
        left = case.text[case.start : case.stop] in masker.mask(case.text).text
        if case.form not in MISSED:
            assert not left, case
    assert {form for _, form in FORMS} >= MISSED


PIECES = st.sampled_from([*PLACEHOLDERS.values(), "a@b.de", "10.0.0.1", "+1415", "5552671", ".de"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(PIECES, st.text(max_size=4))).map("".join))
def test_twice_is_once(masker: Masker, text: str) -> None:
    masked = masker.mask(text)
    again = masker.mask(masked.text)
    assert (again.text, again.found.total()) == (masked.text, 0)


def test_what_stands_for_data_is_plain_text_to_a_prompt() -> None:
    tokenizer = tiny_tokenizer(chat=True)
    added = set(tokenizer.get_added_vocab().values())
    for text in PLACEHOLDERS.values():
        assert clean_words(text.lower()) == text
        assert added.isdisjoint(TextEncoder(tokenizer).untrusted(text))


def test_the_library_logs_no_text(masker: Masker, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    masker.mask("IBAN \u017fE89370400440532013000 de89\u212a70400440532013000")
    assert not caplog.records


def test_names_are_found_by_a_model(tmp_path: Path) -> None:
    import spacy

    model = spacy.blank("en")
    ruler = model.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "PERSON", "pattern": "Maria Lopez"}])
    model.to_disk(tmp_path / "names")
    text = "Maria Lopez, maria@example.com"
    assert Masker(Masking()).mask(text).text == "Maria Lopez, [email-address]"
    found = Masker(Masking(names=str(tmp_path / "names"))).mask(text)
    assert found.text == "[person-name], [email-address]"
    with pytest.raises(ConfigError, match=r"mask\.names: the spaCy model 'xx' is not installed"):
        Masker(Masking(names="xx"))


def test_phone_numbers_of_further_countries(masker: Masker) -> None:
    text = "call 22 123 45 67"
    assert masker.mask(text).text == text
    assert Masker(Masking(regions=("PL",))).mask(text).text == "call [phone-number]"
    with pytest.raises(ConfigError, match=r"mask\.regions: 'XX' is no country"):
        Masker(Masking(regions=("XX",)))


def test_pseudonyms_need_the_key() -> None:
    one, other = bytes(32), b"\1" * 32
    assert pseudonym("ann", one) == pseudonym("ann", one) != pseudonym("ann", other)
    assert pseudonym("ann", one) != pseudonym("bob", one)
    assert len(pseudonym("ann", one)) == 32
