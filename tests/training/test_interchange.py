"""What a bundle holds loads in PEFT and in vLLM as it is."""

import importlib.util
import json
import subprocess
import sys
from dataclasses import dataclass, field
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


@dataclass
class Served:
    """What transformers and vLLM say after the same prompts of one bundle."""

    prompts: list[list[int]]
    request: dict[str, str]
    mine: list[list[float]]
    theirs: list[list[float]] = field(default_factory=list)

    @classmethod
    def of(cls, path: Path, **request: str) -> "Served":
        bundle = Bundle.load(path)
        prompts = prompts_of(bundle)
        return cls(prompts, request, logprobs(bundle.model, prompts))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Served]:
    """All that vLLM is to load, by one process that imports it once."""
    folder = tmp_path_factory.mktemp("interchange")
    base = tiny_base(folder / "base")
    lora = {"base": base, "adapter": "lora"}
    titles = bundle_of(folder / "titles", model=lora, spelling={"scheme": "title"})
    tokens = composed_adapter(folder / "tokens", tied=True)
    merged = str(folder / "merged")
    merge_adapter(Bundle.load(tokens).model, "float32").save_pretrained(merged)
    scratch = bundle_of(
        folder / "scratch",
        model={"scratch": {**SCRATCH, "head_dim": 32}, "embed": ["cooccurrence"]},
    )
    served = {
        "titles": Served.of(titles, model=base, adapter=str(titles / ADAPTER)),
        "merged": Served.of(tokens, model=merged),
        "scratch": Served.of(scratch, model=str(scratch / MODEL)),
    }
    requests = [{**one.request, "prompts": one.prompts} for one in served.values()]
    command = [sys.executable, "-m", "tests.training.vllm_logprobs", json.dumps(requests)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    for one, theirs in zip(served.values(), json.loads(done.stdout.splitlines()[-1]), strict=True):
        one.theirs = theirs
    return served


@needs_vllm
@pytest.mark.slow
@pytest.mark.parametrize("name", ["titles", "merged", "scratch"])
def test_vllm_loads_what_was_trained(served: dict[str, Served], name: str) -> None:
    same(served[name].mine, served[name].theirs)


@needs_vllm
@pytest.mark.slow
def test_vllm_reads_the_adapter_and_not_the_base_alone(served: dict[str, Served]) -> None:
    titles = served["titles"]
    base = AutoModelForCausalLM.from_pretrained(titles.request["model"])
    with pytest.raises(AssertionError):
        same(titles.theirs, logprobs(base, titles.prompts))
