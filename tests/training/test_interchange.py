"""What a bundle holds loads in PEFT and in vLLM as it is."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from rec_gen.bundle import ADAPTER, MODEL, Bundle
from tests.toy import SCRATCH, tiny_base, toy_dataset, toy_recipe
from training.merging import merge_adapter
from training.sft import train

ROOT = Path(__file__).parent.parent.parent
needs_vllm = pytest.mark.skipif(
    importlib.util.find_spec("vllm") is None, reason="vLLM is not installed"
)


def bundle_of(folder: Path, **changes: Any) -> Path:
    table = {"max_steps": 4, "batch_size": 8, "learning_rate": 0.05}
    return train(toy_recipe(train=table, **changes), toy_dataset(), folder)


def prompts_of(bundle: Bundle) -> list[list[int]]:
    history = bundle.renderer().render([1, 2, 3]).ids
    spelled = [bundle.spellings.tokens[item].tolist() for item in (4, 7)]
    return [history] + [history + tokens[:-1] for tokens in spelled if len(tokens) > 1]


def logprobs(model: Any, prompts: list[list[int]]) -> list[list[float]]:
    """What transformers says of each token of the vocabulary after each prompt."""
    with torch.no_grad():
        last = [model(input_ids=torch.tensor([ids])).logits[0, -1] for ids in prompts]
    return [logits.log_softmax(-1).tolist() for logits in last]


def vllm_logprobs(**request: Any) -> list[list[float]]:
    command = [sys.executable, "-m", "tests.training.vllm_logprobs", json.dumps(request)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def same(mine: list[list[float]], theirs: list[list[float]]) -> None:
    for one, other in zip(mine, theirs, strict=True):
        assert one == pytest.approx(other, abs=2e-4)


@pytest.mark.parametrize("scheme", ["title", "item"])
def test_peft_loads_an_adapter(tmp_path: Path, scheme: str) -> None:
    base = tiny_base(tmp_path / "base")
    path = bundle_of(
        tmp_path / "run", model={"base": base, "adapter": "lora"}, spelling={"scheme": scheme}
    )
    bundle = Bundle.load(path)
    plain = AutoModelForCausalLM.from_pretrained(base)
    plain.resize_token_embeddings(len(bundle.tokenizer))
    before = logprobs(plain, prompts_of(bundle))
    mine = logprobs(bundle.model, prompts_of(bundle))
    same(
        mine, logprobs(PeftModel.from_pretrained(plain, path / ADAPTER).eval(), prompts_of(bundle))
    )
    assert mine != before


@needs_vllm
@pytest.mark.slow
def test_vllm_loads_an_adapter_that_spells_by_title(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base")
    model = {"base": base, "adapter": "lora"}
    path = bundle_of(tmp_path / "run", model=model, spelling={"scheme": "title"})
    bundle = Bundle.load(path)
    prompts = prompts_of(bundle)
    served = vllm_logprobs(model=base, adapter=str(path / ADAPTER), prompts=prompts)
    same(served, logprobs(bundle.model, prompts))
    with pytest.raises(AssertionError):
        same(served, logprobs(AutoModelForCausalLM.from_pretrained(base), prompts))


def composed_adapter(folder: Path, *, tied: bool) -> Path:
    base = tiny_base(folder / "base", tied=tied)
    model = {"base": base, "adapter": "lora", "begin": "text", "embed": ["cooccurrence"]}
    return bundle_of(folder / "run", model=model)


@pytest.mark.parametrize("tied", [True, False])
def test_an_adapter_with_item_tokens_merges_into_a_plain_model(tmp_path: Path, tied: bool) -> None:
    bundle = Bundle.load(composed_adapter(tmp_path, tied=tied))
    prompts = prompts_of(bundle)
    mine = logprobs(bundle.model, prompts)
    merge_adapter(bundle.model, "float32").save_pretrained(tmp_path / "merged")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    same(mine, logprobs(plain, prompts))


@needs_vllm
@pytest.mark.slow
def test_vllm_loads_an_adapter_with_item_tokens_once_it_is_merged(tmp_path: Path) -> None:
    bundle = Bundle.load(composed_adapter(tmp_path, tied=True))
    prompts = prompts_of(bundle)
    mine = logprobs(bundle.model, prompts)
    merge_adapter(bundle.model, "float32").save_pretrained(tmp_path / "merged")
    same(mine, vllm_logprobs(model=str(tmp_path / "merged"), prompts=prompts))


@needs_vllm
@pytest.mark.slow
def test_vllm_loads_a_model_from_scratch(tmp_path: Path) -> None:
    model = {"scratch": {**SCRATCH, "head_dim": 32}, "embed": ["cooccurrence"]}
    path = bundle_of(tmp_path / "run", model=model)
    bundle = Bundle.load(path)
    prompts = prompts_of(bundle)
    served = vllm_logprobs(model=str(path / MODEL), prompts=prompts)
    same(served, logprobs(bundle.model, prompts))
