"""The plugin's two interfaces, driven as vLLM drives them; a server is in `tests/serving`."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from rec_gen.decoding.trie import CatalogTrie
from rec_gen.errors import ConfigError

vllm = pytest.importorskip("vllm", reason="vLLM is not installed")
pytestmark = pytest.mark.slow

VOCABULARY, END, CPU = 12, 11, torch.device("cpu")
SPELLINGS = [[1, 2, 3], [1, 2, 4], [5], [6, 7, 8, 9]]


@pytest.fixture(autouse=True)
def movies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "movies.safetensors"
    CatalogTrie.build([np.array(tokens, np.int32) for tokens in SPELLINGS]).save(path)
    monkeypatch.setenv("RECGEN_CATALOGS", f"movies={path}")
    return path


def config(**changes: Any) -> Any:
    told = {"vocabulary": VOCABULARY, "end": END, "asynchronous": False, "named": None, **changes}
    return SimpleNamespace(
        model_config=SimpleNamespace(
            model="toy",
            hf_text_config=SimpleNamespace(eos_token_id=told["end"]),
            get_vocab_size=lambda: told["vocabulary"],
            logits_processors=told["named"],
        ),
        scheduler_config=SimpleNamespace(async_scheduling=told["asynchronous"]),
    )


def asking(**options: Any) -> Any:
    return vllm.SamplingParams(**{"extra_args": {"catalog": "movies"}, **options})


def processor(slots: Any = None, **changes: Any) -> Any:
    from rec_gen.vllm_plugin import CatalogProcessor

    if slots is not None:
        return CatalogProcessor(config(**changes), slots)
    return CatalogProcessor(config(**changes), CPU, False)


def left(logits: torch.Tensor) -> list[list[int]]:
    """The tokens of each row that are not masked."""
    return [row.isfinite().nonzero()[:, 0].tolist() for row in logits]


EVERYTHING = list(range(VOCABULARY))


def test_the_older_runner_follows_rows_as_they_come_move_and_go() -> None:
    from vllm.v1.sample.logits_processor.interface import BatchUpdate, MoveDirectionality

    mine, written = processor(), [[], [1], [6]]
    added = [(row, asking(), [9, 9], tokens) for row, tokens in enumerate(written)]
    added.append((3, vllm.SamplingParams(), [9], []))
    mine.update_state(BatchUpdate(4, [], added, []))
    logits = torch.randn(4, VOCABULARY)
    before = logits.clone()
    assert left(mine.apply(logits)) == [[1, 5, 6], [2], [7], EVERYTHING]
    assert torch.equal(logits[logits.isfinite()], before[logits.isfinite()])
    written[0].append(5)  # the engine goes on with its own lists
    written[1] += [2]
    moved = [(3, 0, MoveDirectionality.SWAP)]
    mine.update_state(BatchUpdate(3, [2], [], moved))
    assert left(mine.apply(torch.zeros(4, VOCABULARY))) == [EVERYTHING, [3, 4], EVERYTHING, [END]]
    assert not mine.is_argmax_invariant()


def test_requests_without_a_catalog_are_not_touched() -> None:
    mine, logits = processor(), torch.zeros(2, VOCABULARY)
    mine.update_state(None)
    assert mine.apply(logits) is logits
    assert left(logits) == [EVERYTHING] * 2


def test_after_a_whole_spelling_or_outside_only_the_end_is_allowed() -> None:
    from rec_gen.decoding.trie_walker import TrieWalker
    from rec_gen.vllm_plugin import Constraint

    trie = CatalogTrie.build([np.array(tokens, np.int32) for tokens in SPELLINGS])
    known = Constraint(TrieWalker(trie), END)
    for written in ([5], [1, 2, 3], [5, END], [0], [6, 8]):
        assert known.allowed(written).tolist() == [END]
    assert Constraint(None, END).allowed([]).tolist() == [END]


def slots_of(prompts: list[list[int]], written: list[list[int]]) -> Any:
    """The newer runner's state: slot n holds the n-th prompt and what followed it."""
    from vllm.v1.worker.gpu.sample.logits_processor.interface import LogitsProcRequestState

    # vLLM's own buffers want pinned memory, which only a machine with a GPU has
    tokens = SimpleNamespace(gpu=torch.zeros(8, 32, dtype=torch.int32))
    begins = SimpleNamespace(np=np.zeros(8, np.int32))
    totals = SimpleNamespace(gpu=torch.zeros(8, dtype=torch.int32))
    for slot, (prompt, after) in enumerate(zip(prompts, written, strict=True)):
        both = torch.tensor(prompt + after)
        tokens.gpu[slot, : len(both)] = both
        begins.np[slot], totals.gpu[slot] = len(prompt), len(both)
    return LogitsProcRequestState(CPU, 8, VOCABULARY, tokens, begins, begins, totals)


def context(rows: list[tuple[int, int, int, int]]) -> Any:
    """Rows of logits: slot, place among the rows of its request, token read, and its position."""
    from vllm.v1.worker.gpu.sample.logits_processor.interface import LogitsContext

    slots, places, inputs, positions = (torch.tensor(column) for column in zip(*rows, strict=True))
    own = slots[places == 0]
    return LogitsContext(slots, own, own.numpy(), places, inputs, positions, positions.numpy() + 1)


def test_the_newer_runner_reads_what_was_written_from_its_slots() -> None:
    prompts, written = [[3, 3], [4], [3, 3, 3], [9]], [[1, 2], [6], [], [1]]
    mine = processor(slots_of(prompts, written))
    taken = [mine.add_request(slot, asking()) for slot in range(3)]
    assert taken == [True] * 3
    assert mine.add_request(3, vllm.SamplingParams()) is False
    ctx = context([(2, 0, 3, 2), (3, 0, 1, 1), (0, 0, 2, 3), (1, 0, 6, 1)])
    logits = mine.apply(torch.zeros(4, VOCABULARY), ctx)
    assert left(logits) == [[1, 5, 6], EVERYTHING, [3, 4], [7]]
    assert mine.add_request(1, vllm.SamplingParams()) is False  # the slot has another request now
    assert left(mine.apply(torch.zeros(1, VOCABULARY), context([(1, 0, 6, 1)]))) == [EVERYTHING]


def test_the_newer_runners_drafts_follow_one_another() -> None:
    mine = processor(slots_of([[3, 3], [9]], [[6], []]))
    mine.add_request(0, asking())
    ctx = context([(1, 0, 9, 0), (0, 0, 6, 2), (0, 1, 7, 3), (0, 2, 1, 4)])
    logits = mine.apply(torch.zeros(4, VOCABULARY), ctx)
    assert left(logits) == [EVERYTHING, [7], [8], [END]]  # the last draft leads out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"extra_args": {"catalog": "books"}}, "catalogs are: movies"),
        ({"extra_args": {"catalog": 3}}, "is no name"),
        ({"extra_args": {"catalog": ["movies"]}}, "is no name"),
        ({"max_tokens": 3}, "give at least 4"),
        ({"stop": "x"}, "stop: it cannot"),
        ({"stop_token_ids": [7]}, "7 is a token of the catalog"),
        ({"min_tokens": 2}, "min_tokens: it cannot"),
        ({"ignore_eos": True}, "ignore_eos: it cannot"),
        ({"allowed_token_ids": [1]}, "allowed_token_ids: it cannot"),
        ({"bad_words": ["x"]}, "bad_words: it cannot"),
    ],
)
def test_refuses_requests_that_could_leave_the_catalog(
    options: dict[str, Any], message: str
) -> None:
    from rec_gen.vllm_plugin import CatalogProcessor

    CatalogProcessor.validate_params(asking())
    CatalogProcessor.validate_params(asking(max_tokens=None, stop_token_ids=[0], temperature=2.0))
    with pytest.raises(ValueError, match=message):
        CatalogProcessor.validate_params(asking(**options))


def test_says_what_the_server_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    from rec_gen.vllm_plugin import CatalogProcessor

    monkeypatch.setenv("RECGEN_CATALOGS", "movies=nowhere")
    with pytest.raises(ValueError, match="nowhere"):
        CatalogProcessor.validate_params(asking())
    monkeypatch.delenv("RECGEN_CATALOGS")
    with pytest.raises(ValueError, match="RECGEN_CATALOGS is not set"):
        CatalogProcessor.validate_params(asking())
    CatalogProcessor.validate_params(vllm.SamplingParams(extra_args={"other": 1}, max_tokens=1))


def test_refuses_to_start_where_it_could_not_keep_its_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for changes, message in (
        ({"vocabulary": 9}, "has the token 9"),
        ({"end": None}, "no eos_token_id"),
        ({"asynchronous": True}, "--no-async-scheduling"),
    ):
        with pytest.raises(ConfigError, match=message):
            processor(**changes)
    processor(asynchronous=True, named=["rec_gen.vllm_plugin:CatalogProcessor"])
    processor(slots_of([], []), asynchronous=True)
    monkeypatch.delenv("RECGEN_CATALOGS")
    processor(vocabulary=9, end=None, asynchronous=True)  # nothing is asked of it
