"""Small real things and one fake, for tests of code that builds on rec_gen."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from rec_gen.bundle import Bundle
from rec_gen.catalog import Catalog
from rec_gen.decoding.runtime import Frontier, LogitStates, Runtime
from rec_gen.decoding.score import Score
from rec_gen.decoding.trie import CatalogTrie
from rec_gen.digests import tokenizer_digests
from rec_gen.domains import Domain, DomainManifest
from rec_gen.images import ImageReader
from rec_gen.manifest import Manifest
from rec_gen.markers import add_markers
from rec_gen.prompting import PromptConfig
from rec_gen.spelling import Scheme, spell
from rec_gen.tasks import REPLY
from rec_gen.templates import Template

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin

SIDE = 28
"""Pixels of the sides of what a tiny model sees of an image."""
CHAT_TEMPLATE = (
    "{% for turn in messages %}<|im_start|>{{ turn.role }}\n{{ turn.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


class HashRuntime:
    """A fake model: the logits after a prefix are drawn from a hash of the prefix.

    Args:
        vocabulary: The number of tokens.
        seed: Another seed is another model.
        scale: The standard deviation of the logits.
        overrides: Logits by token that replace the drawn ones, such as NaN.
    """

    def __init__(
        self,
        vocabulary: int,
        seed: int = 0,
        scale: float = 3.0,
        overrides: Mapping[int, float] | None = None,
    ) -> None:
        self.name = f"hash model {seed}"
        self.device = torch.device("cpu")
        self._vocabulary = vocabulary
        self._seed = seed
        self._scale = scale
        self._overrides = dict(overrides or {})

    def read(self, prompts: Sequence[Sequence[int]]) -> "HashSession":
        """Remember the prompts."""
        return HashSession(self, prompts)

    def logits_after(self, prefix: tuple[int, ...]) -> torch.Tensor:
        """The logits after a prefix, float32 [vocabulary]."""
        digest = blake2b(repr((self._seed, prefix)).encode(), digest_size=8).digest()
        drawn = np.random.default_rng(int.from_bytes(digest, "big")).normal(size=self._vocabulary)
        logits = torch.from_numpy(drawn * self._scale).float()
        for token, value in self._overrides.items():
            logits[token] = value
        return logits


class HashSession(LogitStates):
    """What a `HashRuntime` has read: the prefix at each slot; a state is its logits."""

    def __init__(self, runtime: HashRuntime, prompts: Sequence[Sequence[int]]) -> None:
        self._runtime = runtime
        self._prefixes = [tuple(prompt) for prompt in prompts]

    def start(self) -> Frontier:
        """The states at the ends of the prompts."""
        return self._frontier(0)

    def extend(
        self, parents: torch.Tensor, tokens: torch.Tensor, lengths: torch.Tensor
    ) -> Frontier:
        """Read runs of tokens, each below a slot."""
        first = len(self._prefixes)
        runs = tokens.split(lengths.tolist())  # type: ignore[no-untyped-call]
        for parent, run in zip(parents.tolist(), runs, strict=True):
            prefix = self._prefixes[parent]
            for token in run.tolist():
                prefix = (*prefix, token)
                self._prefixes.append(prefix)
        return self._frontier(first)

    def _frontier(self, first: int) -> Frontier:
        states = [self._runtime.logits_after(prefix) for prefix in self._prefixes[first:]]
        return Frontier(torch.stack(states), torch.arange(first, len(self._prefixes)))


def brute_force(
    runtime: Runtime,
    prompt: Sequence[int],
    spellings: Sequence[npt.NDArray[np.int32]],
    eligible: Sequence[bool],
    score: Score,
) -> dict[int, float]:
    """Score every eligible item by reading each of its prefixes anew, without trie or cache.

    Returns:
        The score of each eligible catalog position.
    """
    children = defaultdict(set)
    paths = {item: tuple(map(int, s)) for item, s in enumerate(spellings) if eligible[item]}
    for path in paths.values():
        for depth, token in enumerate(path):
            children[path[:depth]].add(token)
    steps = {}
    for prefix, tokens in children.items():
        known = torch.tensor(sorted(tokens))
        session = runtime.read([[*prompt, *prefix]])
        state = session.start().hidden
        logits = session.logits(state, torch.zeros_like(known), known).double()
        total = logits.logsumexp(0) if score == "catalog" else session.normalizers(state)[0]
        scores = (logits - total).tolist()
        steps.update({(prefix, token): s for token, s in zip(known.tolist(), scores, strict=True)})
    return {
        item: sum(steps[path[:depth], token] for depth, token in enumerate(path))
        for item, path in paths.items()
    }


def tiny_tokenizer(*, chat: bool = False) -> "PreTrainedTokenizerBase":
    """A byte-level tokenizer without merges, with or without a chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {char: index for index, char in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|bos|>",
        eos_token="<|im_end|>",
        pad_token="<|pad|>",
        additional_special_tokens=["<|im_start|>"],
        chat_template=CHAT_TEMPLATE if chat else None,
    )


def tiny_model(
    vocabulary: int, seed: int = 0, model_type: str = "qwen3", **settings: object
) -> "PreTrainedModel":
    """A causal language model with random weights, small enough for any test."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(seed)
    shape = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16,
        "max_position_embeddings": 1024, "initializer_range": 0.3,
    }  # fmt: skip
    config = AutoConfig.for_model(model_type, vocab_size=vocabulary, **{**shape, **settings})
    return AutoModelForCausalLM.from_config(config).eval()


def tiny_image_model(
    kind: str = "idefics3", seed: int = 0
) -> tuple["ProcessorMixin", "PreTrainedModel"]:
    """A processor and a model that reads images, with random weights; it needs no torchvision.

    Args:
        kind: `idefics3`, 4 tokens of an image between 3 others, or `llava`, 16 tokens.
        seed: Another seed is another model.
    """
    from transformers import AutoConfig, AutoModelForImageTextToText

    processor = tiny_image_processor(kind)
    torch.manual_seed(seed)
    shape: dict[str, Any] = {
        "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2, "initializer_range": 0.3,
    }  # fmt: skip
    text = {
        "model_type": "llama",
        "vocab_size": len(processor.tokenizer),
        "pad_token_id": processor.tokenizer.pad_token_id,
        "num_key_value_heads": 1,
        "max_position_embeddings": 1024,
    }
    tower = {**shape, "image_size": SIDE, "patch_size": SIDE // 4}
    own: dict[str, Any] = {"scale_factor": 2}
    if kind == "llava":
        tower["model_type"] = "siglip_vision_model"
        own = {"vision_feature_select_strategy": "full"}
    config = AutoConfig.for_model(
        kind,
        text_config={**shape, **text},
        vision_config=tower,
        image_token_id=processor.image_token_id,
        tie_word_embeddings=False,
        **own,
    )
    return processor, AutoModelForImageTextToText.from_config(config).eval()


def tiny_image_processor(
    kind: str = "idefics3", side: int = SIDE, tokens: int = 4
) -> "ProcessorMixin":
    """A processor on Pillow over a tiny tokenizer.

    Args:
        kind: As in `tiny_image_model`.
        side: Pixels of the sides of what the model sees.
        tokens: Tokens that carry an image, for `idefics3`; for `llava` they are 16.
    """
    from transformers import Idefics3Processor, LlavaProcessor
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    tokenizer = tiny_tokenizer()
    frame = ["<fake_token_around_image>", "<end_of_utterance>", "<global-img>"]
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>", *frame]})
    if kind == "llava":
        pixels = SiglipImageProcessorPil(size={"height": side, "width": side})
        return LlavaProcessor(
            pixels, tokenizer, patch_size=side // 4, vision_feature_select_strategy="full"
        )
    edge = {"longest_edge": side}
    pixels = Idefics3ImageProcessorPil(size=edge, max_image_size=edge, do_image_splitting=False)
    return Idefics3Processor(pixels, tokenizer, image_seq_len=tokens)


def random_image_bundle(
    catalog: Catalog, folder: Path, template: Template, kind: str = "idefics3", seed: int = 0
) -> Bundle:
    """An untrained bundle whose prompts show images.

    Args:
        catalog: The items; their column `image` names files.
        folder: Where these are.
        template: The prompt.
        kind: The architecture, see `tiny_image_model`.
        seed: Another seed is another model.
    """
    processor, model = tiny_image_model(kind, seed)
    plain = random_bundle(catalog, "title", seed, tokenizer=processor.tokenizer)
    prompt = PromptConfig(template=template.name, max_history=10, max_tokens=900, images=folder)
    update = {"prompt": prompt, "template_text": template.text}
    images = ImageReader(processor, folder)
    images.show_to(model)
    manifest = plain.manifest.model_copy(update=update)
    return replace(plain, manifest=manifest, template=template, model=model, images=images)


def random_bundle(
    catalog: Catalog,
    scheme: Scheme,
    seed: int = 0,
    codes: npt.NDArray[np.int64] | None = None,
    tasks: Sequence[str] = (),
    tokenizer: "PreTrainedTokenizerBase | None" = None,
    **settings: Any,
) -> Bundle:
    """An untrained bundle with random weights.

    Args:
        catalog: The items.
        scheme: How they are spelled.
        seed: Seeds weights and codes.
        codes: For `semantic`, int64 [items, levels]; random without.
        tasks: Templates of further tasks.
        tokenizer: The bundle's own from now on; a tiny one without.
        settings: Of the model's configuration.
    """
    tokenizer = tokenizer or tiny_tokenizer()
    if codes is None:
        codes = np.random.default_rng(seed).integers(0, 16, size=(len(catalog), 3))
    spellings = spell(catalog, scheme, tokenizer, codes if scheme == "semantic" else None)
    templates = tuple(map(Template.load, tasks))
    if any(template.header["task"] == REPLY for template in templates):
        add_markers(tokenizer)
    prompt = PromptConfig(template="sequence", max_history=10, max_tokens=900)
    template = Template.load(prompt.template)
    manifest = Manifest(
        name="random",
        prompt=prompt,
        template_text=template.text,
        scheme=scheme,
        base=None,
        base_digest=None,
        dtype="float32",
        quantization="none",
        tokenizer=tokenizer_digests(tokenizer),
        seed=seed,
        dataset="none",
        fingerprint=catalog.fingerprint,
        metrics={},
        recipe={},
        versions={},
        files={},
        task_templates={each.name: each.text for each in templates},
    )
    model = tiny_model(len(tokenizer), seed, **settings)
    trie = CatalogTrie.build(spellings.tokens)
    return Bundle(manifest, catalog, spellings, trie, template, tokenizer, model, tasks=templates)


def with_domain(bundle: Bundle, name: str, catalog: Catalog) -> Bundle:
    """A bundle of titles with a further catalog, prompted like its first.

    Args:
        bundle: The bundle.
        name: The further catalog's name.
        catalog: Its items.
    """
    spellings, whole = spell(catalog, "title", bundle.tokenizer), bundle.manifest
    trie = CatalogTrie.build(spellings.tokens)
    own = DomainManifest(
        prompt=whole.prompt,
        template_text=whole.template_text,
        dataset=name,
        fingerprint=catalog.fingerprint,
        data={},
    )
    manifest = whole.model_copy(update={"domains": {**whole.domains, name: own}})
    domain = Domain(catalog, spellings, trie, bundle.template)
    return replace(bundle, manifest=manifest, domains={**bundle.domains, name: domain})
