"""What holds of answers to prompts with images: counted, and compared with transformers' own."""

import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.progress import track

from eval.benchmarks.images_scene import Scene
from rec_gen.answers import Answer
from rec_gen.bundle import MODEL, Bundle
from rec_gen.catalog import Item
from rec_gen.decoding.vllm_runtime import VLLMRuntime
from rec_gen.image_files import open_image
from rec_gen.recommender import Recommender
from rec_gen.testing import random_image_bundle, tiny_image_model

K = 10
CHANGED = 1e-3
"""A score that moves by less is the same: float32 sums in another order move by 1e-5."""


def mechanics(kind: str, scene: Scene, seed: int) -> dict[str, float]:
    """Count over all requests, one at a time.

    Args:
        kind: The architecture.
        scene: What is asked.
        seed: Of the model's weights.
    """
    bundle = random_image_bundle(scene.catalog, scene.folder, scene.template, kind, seed)
    recommender = Recommender(bundle)
    plain = tiny_image_model(kind, seed)[1]
    counts = dict.fromkeys(
        ("invalid_answers", "scores_changed", "lists_changed", "others_changed"), 0
    )
    largest = 0.0
    for history in track(scene.histories, kind, console=Console(stderr=True)):
        (answer,) = recommender.recommend([history], K)
        counts["invalid_answers"] += invalid(answer, history, scene)
        own = own_score(plain, bundle, scene, history, answer)
        largest = max(largest, abs(answer[0].score - own))
        seen, unseen = history[-1], answer[0].item.id
        after = with_spare(recommender, seen, history)
        counts["scores_changed"] += moved(answer, after) > CHANGED
        counts["lists_changed"] += names(after) != names(answer)
        counts["others_changed"] += moved(answer, with_spare(recommender, unseen, history)) > 0
    images: Any = bundle.images
    return {
        "requests": len(scene.histories),
        **counts,
        "largest_difference": largest,
        "tokens_an_image": len(images.ids(scene.catalog[0].fields["image"])),
    }


def invalid(answer: Answer, history: list[str], scene: Scene) -> bool:
    """Whether an answer is anything but so many different items of the catalog, none seen."""
    found = set(names(answer)).intersection(scene.catalog.positions).difference(history)
    expected = min(K, len(scene.catalog) - len(history))
    return not len(found) == len(answer) == expected


def names(answer: Answer) -> list[str]:
    """The ids of an answer."""
    return [found.item.id for found in answer]


def moved(one: Answer, other: Answer) -> float:
    """How far the score of an item moved; infinite where the lists hold other items."""
    before, after = ({found.item.id: found.score for found in each} for each in (one, other))
    if before.keys() != after.keys():
        return float("inf")
    return max(abs(before[item] - after[item]) for item in before)


def with_spare(recommender: Recommender, item: str, history: list[str]) -> Answer:
    """The answer where an item has the spare image."""
    own = recommender.catalog[recommender.catalog.position(item)]
    recommender.put_items([Item(own.id, own.title, {**own.fields, "image": "spare.png"})])
    (answer,) = recommender.recommend([history], K)
    recommender.put_items([own])
    return answer


@torch.inference_mode()
def own_score(
    model: Any, bundle: Bundle, scene: Scene, history: list[str], answer: Answer
) -> float:
    """The log-probability of an answer's first item by `model(**processor(...))`, in one pass."""
    images: Any = bundle.images
    positions = [scene.catalog.position(item) for item in history]
    prompt = bundle.renderer().render(positions)
    files = [scene.catalog[position].fields["image"] for position in positions]
    inputs = images.processor(
        text=prompt.text.replace("[image]", images.processor.image_token),
        images=[open_image(scene.folder / file)[0] for file in files],
        add_special_tokens=False,
        return_tensors="pt",
    )
    position = scene.catalog.position(answer[0].item.id)
    item = torch.from_numpy(bundle.spellings.tokens[position]).long()
    ids = torch.cat([inputs["input_ids"][0], item])[None]
    logits = model(**{**inputs, "input_ids": ids, "attention_mask": torch.ones_like(ids)}).logits
    steps = logits[0, -len(item) - 1 : -1].double().log_softmax(-1)
    return float(steps.gather(1, item[:, None]).sum())


def vllm_agreement(scene: Scene, folder: Path, seed: int) -> dict[str, float]:
    """How vLLM's answers differ from those of transformers, on the same bundle in float32."""
    from vllm import LLM

    bundle = random_image_bundle(scene.catalog, scene.folder, scene.template, "idefics3", seed)
    bundle.save(folder / "bundle")
    llm = LLM(
        str(folder / "bundle" / MODEL),
        dtype="float32",
        enforce_eager=True,
        block_size=32,
        max_model_len=1024,
        limit_mm_per_prompt={"image": 10},
    )
    images: Any = bundle.images
    engine = VLLMRuntime.offline(llm, prompt_of=images.vllm_prompt)
    mine = Recommender(bundle).recommend(scene.histories, K)
    theirs = Recommender(bundle, engine).recommend(scene.histories, K)
    pairs = list(zip(mine, theirs, strict=True))
    return {
        "vllm_requests": len(pairs),
        "vllm_invalid_answers": sum(
            invalid(answer, history, scene)
            for answer, history in zip(theirs, scene.histories, strict=True)
        ),
        "vllm_lists_that_differ": sum(names(one) != names(other) for one, other in pairs),
        "vllm_largest_difference": max(moved(one, other) for one, other in pairs),
    }


def milliseconds(work: Any, rounds: int) -> float:
    """The median time of a call."""
    spent = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        spent.append(time.perf_counter() - began)
    return 1000 * median(spent)
