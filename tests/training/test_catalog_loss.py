import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from training.catalog_loss import CatalogLoss

WIDTH, VOCABULARY = 8, 12
SPELLINGS = [np.array(ids, np.int32) for ids in ([3, 5], [3, 6], [4, 5, 7], [9])]


def by_hand(
    states: torch.Tensor, weight: torch.Tensor, items: list[int], smoothing: float
) -> float:
    total, place = 0.0, 0
    for item in items:
        path = SPELLINGS[item].tolist()
        for depth, token in enumerate(path):
            live = sorted({s[depth] for s in SPELLINGS if s[:depth].tolist() == path[:depth]})
            log_probs = (weight[live] @ states[place]).log_softmax(0)
            total -= (1 - smoothing) * log_probs[live.index(token)].item()
            total -= smoothing * log_probs.mean().item()
            place += 1
    return total


@given(st.lists(st.integers(0, 3), min_size=1, max_size=5), st.sampled_from([0.0, 0.2]))
def test_equals_a_softmax_over_what_the_catalog_allows(items: list[int], smoothing: float) -> None:
    generator = torch.Generator().manual_seed(len(items))
    head = torch.nn.Linear(WIDTH, VOCABULARY, bias=False)
    tokens = [token for item in items for token in SPELLINGS[item].tolist()]
    labels = torch.tensor([[-100, *tokens], [-100] * (len(tokens) + 1)])
    states = torch.randn(2, len(tokens) + 1, WIDTH, generator=generator)
    loss = CatalogLoss(SPELLINGS, smoothing)(states, head, labels)
    expected = by_hand(states[0], head.weight.detach(), items, smoothing)
    assert loss.item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_only_live_tokens_get_a_gradient() -> None:
    head = torch.nn.Linear(WIDTH, VOCABULARY, bias=True)
    states = torch.randn(1, 3, WIDTH)
    loss = CatalogLoss(SPELLINGS, 0.1)(states, head, torch.tensor([[-100, 3, 5]]))
    loss.backward()  # type: ignore[no-untyped-call]
    assert head.weight.grad is not None
    touched = head.weight.grad.abs().sum(1).nonzero()[:, 0].tolist()
    assert touched == [3, 4, 5, 6, 9]


def test_a_forced_token_costs_nothing() -> None:
    head = torch.nn.Linear(WIDTH, VOCABULARY, bias=False)
    states = torch.randn(1, 4, WIDTH)
    whole = CatalogLoss(SPELLINGS, 0.0)(states, head, torch.tensor([[-100, 4, 5, 7]]))
    first = CatalogLoss(SPELLINGS, 0.0)(states[:, :2], head, torch.tensor([[-100, 9]]))
    log_probs = (states[0, 0] @ head.weight[[3, 4, 9]].T).log_softmax(0)
    assert whole.item() == pytest.approx(-log_probs[1].item(), rel=1e-5)
    assert first.item() == pytest.approx(-log_probs[2].item(), rel=1e-5)


def test_text_is_learnt_over_the_whole_vocabulary_and_items_over_the_trie() -> None:
    head = torch.nn.Linear(WIDTH, VOCABULARY, bias=True)
    states = torch.randn(2, 4, WIDTH)
    items = torch.tensor([[-100, 3, 5, -100], [-100, -100, -100, 9]])
    text = torch.tensor([[-100, -100, -100, 2], [-100, 0, 8, -100]])
    both = torch.where(text >= 0, text, items)
    weights = torch.rand(2, 4)
    log_probs = head(states[:, :-1]).log_softmax(2)
    by_hand = sum(
        -weights[row, at + 1] * (0.9 * log_probs[row, at, token] + 0.1 * log_probs[row, at].mean())
        for row, at, token in [(0, 2, 2), (1, 0, 0), (1, 1, 8)]
    )
    loss = CatalogLoss(SPELLINGS, 0.1, text_answers=True)
    alone = CatalogLoss(SPELLINGS, 0.1)(states, head, items, weights)
    torch.testing.assert_close(loss(states, head, both, weights), alone + by_hand)
    torch.testing.assert_close(loss(states, head, items, weights), alone)
    torch.testing.assert_close(loss(states, head, text, weights), by_hand)
