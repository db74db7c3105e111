from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rec_gen.catalog import Catalog
from rec_gen.errors import PromptError
from rec_gen.prompting import PromptConfig, PromptRenderer
from rec_gen.spelling import spell_titles, tokenize_titles
from rec_gen.templates import Template
from rec_gen.testing import tiny_tokenizer
from rec_gen.text import TextEncoder, clean_text

HEADER = "{#\ntask: next_item\nversion: 1\ninputs: history\n#}\n"


RATING = """{#
task: rating
version: 1
inputs: history, item
answer: {{ "yes" if liked else "no" }}
#}
"""
BARE = "{# task: rating\nversion: 1\ninputs: history, item #}"
ASKED = "{{ item.spelling }}"


def renderer(
    catalog: Catalog, text: str, *, chat: bool = True, max_history: int = 50, max_tokens: int = 900
) -> PromptRenderer:
    tokenizer = tiny_tokenizer(chat=chat)
    spellings = tokenize_titles(spell_titles(catalog), tokenizer)
    config = PromptConfig(max_history=max_history, max_tokens=max_tokens)
    template = Template.parse("test", HEADER + text)
    return PromptRenderer(template, catalog, spellings, tokenizer, config)


LISTING = "Seen:\n{% for item in history %}{{ item.spelling }}{% endfor %}\nNext?"


def test_a_chat_model_reads_turns(catalog: Catalog) -> None:
    prompt = renderer(catalog, LISTING).render([0, 2])
    assert prompt.text == (
        "<|im_start|>user\nSeen:\nAlien\nSolaris [1972]\nNext?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_plain_model_reads_the_text_after_its_first_token(catalog: Catalog) -> None:
    assert renderer(catalog, LISTING, chat=False).render([1]).text == (
        "<|bos|>Seen:\nAliens\nNext?"
    )


def test_spans_hold_the_spellings(catalog: Catalog) -> None:
    render = renderer(catalog, LISTING)
    prompt = render.render([3, 0, 3])
    spelled = tokenize_titles(spell_titles(catalog), tiny_tokenizer()).tokens
    assert [span.place for span in prompt.spans] == [0, 1, 2]
    for span, position in zip(prompt.spans, [3, 0, 3], strict=True):
        assert prompt.ids[span.start : span.stop] == spelled[position].tolist()


@pytest.mark.parametrize(
    "expression",
    [
        "{{ item.title }}",
        "{{ item.title | upper }}",
        "{{ item.title ~ '<|im_start|>' }}",
        "{{ history | map(attribute='title') | join(', ') }}",
        "{{ item.genres }}",
        "{{ item.title | striptags }}",
        "{% for key in item.attrs %}{{ key }}{% endfor %}",
        "{{ item.raw }}",
        "{{ item.spelling }}",
    ],
)
def test_data_cannot_open_a_turn(catalog: Catalog, expression: str) -> None:
    """Whatever the template does with a hostile title, no markup token comes of it."""
    text = f"{{% for item in history %}}{expression}{{% endfor %}}"
    tokenizer = tiny_tokenizer(chat=True)
    markup = {tokenizer.convert_tokens_to_ids(name) for name in ("<|im_start|>", "<|im_end|>")}
    hostile = [token for token in renderer(catalog, text).render([4, 5]).ids if token in markup]
    harmless = [token for token in renderer(catalog, text).render([0]).ids if token in markup]
    assert hostile == harmless
    assert len(hostile) == 3  # the user's turn and the assistant's opening


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(1, 400))
def test_the_longest_latest_history_that_fits(history: list[int], max_tokens: int) -> None:
    import polars as pl

    rows = {"item": list("abcdef"), "title": ["A", "Bb", "Ccc", "Dddd", "Eeeee", "Ffffff"]}
    small = Catalog(pl.DataFrame(rows))
    unlimited = renderer(small, LISTING, max_tokens=10_000)
    needed = [len(unlimited.render(history[start:]).ids) for start in range(len(history))]
    fitting = [start for start, tokens in enumerate(needed) if tokens <= max_tokens]
    limited = renderer(small, LISTING, max_tokens=max_tokens)
    if not fitting:
        with pytest.raises(PromptError, match=rf"needs {needed[-1]} tokens .* raise"):
            limited.render(history)
        return
    prompt = limited.render(history)
    assert prompt.ids == unlimited.render(history[fitting[0] :]).ids
    assert prompt.kept == len(history) - fitting[0]
    assert [span.place for span in prompt.spans] == list(range(fitting[0], len(history)))


def test_max_history_keeps_the_latest(catalog: Catalog) -> None:
    prompt = renderer(catalog, LISTING, max_history=1).render([0, 1, 2])
    assert (prompt.kept, prompt.spans[0].place) == (1, 2)
    assert "Solaris [1972]" in prompt.text
    assert "Alien" not in prompt.text


def test_an_unknown_field_names_those_there_are(catalog: Catalog) -> None:
    render = renderer(catalog, "{% for item in history %}{{ item.brand }}{% endfor %}")
    with pytest.raises(PromptError, match=r"'brand'; items of this catalog have .*year, genres"):
        render.render([0])


def test_an_item_is_not_printed_whole(catalog: Catalog) -> None:
    with pytest.raises(PromptError, match=r"print item.title or item.spelling"):
        renderer(catalog, "{{ history[0] }}").render([0])


def test_the_sandbox_holds(catalog: Catalog) -> None:
    text = "{% for item in history %}{{ item.__class__.__mro__ }}{% endfor %}"
    with pytest.raises(PromptError, match="unsafe"):
        renderer(catalog, text).render([0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no header", "begin with a comment"),
        ("{# task: x\nversion: 1 #}", "gives no 'inputs'"),
        ("{# task: x\nversion: 1\ninputs: history\nauthor: me #}", "'author: me' is not one of"),
        (HEADER + "{{ histroy }}", "reads 'histroy': list it under 'inputs'"),
        (HEADER + "{% for item in history %}", "line 6"),
        ("{# task: x\nversion: 1\ninputs: history, user #}", "the task 'x' is not one of"),
        (HEADER.replace("history", "history, user"), "lists the input 'user'; for the task next_i"),
        (BARE + ASKED, "a line 'answer' that reads 'liked' and nothing"),
        (RATING.replace("liked", "item") + ASKED, "a line 'answer' that reads 'liked' and nothing"),
        (RATING.replace("}}", "") + ASKED, "line 1"),
        (RATING.replace("rating", "next_item").replace(", item", ""), "remove 'answer' from the"),
        (RATING + "{{ liked }}", "reads 'liked': list it under 'inputs'"),
        (RATING + "Would they?", "never reads 'item', which the task rating asks about: print it"),
        ("{# task: search\nversion: 1\ninputs: request #}Find it", "never reads 'request', which"),
    ],
)
def test_a_wrong_template_says_what_to_mend(text: str, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        Template.parse("test", text)


def test_templates_load_by_name_and_by_path(tmp_path: Path) -> None:
    file = tmp_path / "mine.jinja"
    file.write_text(HEADER + LISTING)
    assert Template.load(str(file)).name == "mine"
    assert Template.load("next_item").header["task"] == "next_item"
    with pytest.raises(
        PromptError, match=r"choose one of .*explanation, item_from_title, .*next_item"
    ):
        Template.load("next-item")
    with pytest.raises(PromptError, match="cannot be read"):
        Template.load(str(tmp_path / "none.jinja"))


@pytest.mark.parametrize(
    "expression",
    [
        "{{ item.year + item.title }}",
        "{{ 1 / 0 }}",
        "{{ item.genres.x.y }}",
        "{{ item.year | dictsort }}",
        "{% macro again(x) %}{{ again(x) }}{% endmacro %}{{ again(item) }}",
    ],
)
def test_a_failing_template_is_named(catalog: Catalog, expression: str) -> None:
    render = renderer(catalog, f"{{% for item in history %}}{expression}{{% endfor %}}")
    with pytest.raises(PromptError, match=r"template 'test': .*; items of this catalog have"):
        render.render([0])


def using(catalog: Catalog, text: str) -> PromptRenderer:
    return renderer(catalog, LISTING).using(Template.parse("test", text))


def test_the_item_asked_about_is_spelled_and_is_no_part_of_the_history(catalog: Catalog) -> None:
    listing = "{% for one in history %}{{ one.spelling }}{% endfor %}? {{ item.spelling }}"
    render = using(catalog, RATING + listing + "{{ item.year }}")
    prompt = render.render([2, 1], item=0)
    assert "Solaris [1972]\nAliens\n? Alien\n1979" in prompt.text
    assert [span.place for span in prompt.spans] == [0, 1]
    spelled = tokenize_titles(spell_titles(catalog), tiny_tokenizer()).tokens
    assert bytes(spelled[0].tolist()) in bytes(token % 256 for token in prompt.ids)


def test_an_answer_in_text_is_no_markup_and_has_an_end(catalog: Catalog) -> None:
    header = "{#\ntask: title_of_item\nversion: 1\ninputs: item\nanswer: It is {{ title }}\n#}\n"
    header += "{{ item.spelling }}"
    render = using(catalog, header)
    tokenizer = tiny_tokenizer(chat=True)
    for position, title in enumerate(catalog.titles):
        ids = render.answer(title)
        assert ids[-1] == tokenizer.eos_token_id
        assert not {*ids[:-1]} & {*tokenizer.all_special_ids}
        assert tokenizer.decode(ids[:-1]) == f"It is {clean_text(title)}"
        assert render.render(item=position).ids
    with pytest.raises(PromptError, match="is empty"):
        using(catalog, header.replace("It is ", "")).answer("\n")


def test_a_failing_answer_is_named(catalog: Catalog) -> None:
    render = using(catalog, RATING.replace("else", "else liked | dictsort or") + ASKED)
    with pytest.raises(PromptError, match=r"template 'test': .*has no attribute 'items'"):
        render.answer(False)


@pytest.mark.parametrize("text", ["Space Adventure", "space adventure", "SPACE\u2003Adventure "])
def test_a_request_is_read_in_lower_case(catalog: Catalog, text: str) -> None:
    search = using(catalog, "{#\ntask: search\nversion: 1\ninputs: request\n#}\nFind {{ request }}")
    assert "Find space adventure<" in search.render(text=text).text
    named = using(catalog, "{#\ntask: item_from_title\nversion: 1\ninputs: title\n#}\n{{ title }}")
    assert clean_text(text) in named.render(text=text).text


def test_text_full_of_markup_stays_text() -> None:
    tokenizer = tiny_tokenizer(chat=True)
    tokenizer.add_tokens(["~", "<<|", "aa", "ab"])
    encoder = TextEncoder(tokenizer)
    names = {token for name, token in tokenizer.get_added_vocab().items() if len(name) > 1}
    for text in ("<|im_end|>" * 2000, "~ <|im_start|>", "<<|im_start|>", "aaab", "a" * 50):
        ids = encoder.untrusted(text)
        assert names.isdisjoint(ids)
        assert tokenizer.decode(ids) == text


def test_an_empty_prompt_is_refused(catalog: Catalog) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.bos_token = None
    spelled = tokenize_titles(spell_titles(catalog), tokenizer)
    render = PromptRenderer(Template.load("sequence"), catalog, spelled, tokenizer, PromptConfig())
    assert render.render([0]).ids
    with pytest.raises(PromptError, match="renders nothing for an empty history"):
        render.render([])
