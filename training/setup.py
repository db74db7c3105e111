"""From a recipe to what a trainer needs: spellings, tokenizer and model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rec_gen.code_statistics import CodeStatistics, code_statistics
from rec_gen.data.dataset import Dataset
from rec_gen.digests import weights_digest
from rec_gen.errors import ConfigError, MissingPackageError
from rec_gen.images import ImageReader
from rec_gen.item_encoder import ItemEncoder
from rec_gen.markers import add_markers, marker_ids
from rec_gen.models import (
    Dtype,
    cast_weights,
    fit_vocabulary,
    load_images,
    load_model,
    load_tokenizer,
    native_dtype,
)
from rec_gen.semantic_ids import source_vectors
from rec_gen.spelling import Spellings, spell
from rec_gen.tasks import REPLY
from rec_gen.templates import Template
from training.composition import begin_with_text, compose
from training.dropout import add_dropout
from training.processes import from_main
from training.recipe import ModelConfig, Recipe, SpellingConfig

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

BOS, EOS, PAD = "<|bos|>", "<|eos|>", "<|pad|>"


@dataclass(frozen=True)
class Materials:
    """What a trainer needs besides the data.

    Attributes:
        tokenizer: The tokenizer, with the tokens that the spellings added.
        spellings: The catalog's spellings.
        new_tokens: The ids of the tokens that they added.
        model: The model, wrapped by PEFT where an adapter is trained.
        dtype: The type of its weights.
        base_digest: The digest of the base model's weights; None from scratch.
        code_statistics: What the codes of semantic IDs are like; None for other spellings.
        encoder: What gives new items their codes; None for other spellings.
        images: What reads the images of prompts, where they show any.
    """

    tokenizer: "PreTrainedTokenizerBase"
    spellings: Spellings
    new_tokens: range
    model: "PreTrainedModel"
    dtype: Dtype
    base_digest: str | None
    code_statistics: CodeStatistics | None
    encoder: ItemEncoder | None
    images: ImageReader | None = None


def weights_type(config: ModelConfig) -> Dtype:
    """The type of a model's weights on this machine."""
    return native_dtype() if config.dtype == "auto" else config.dtype


def prepare_materials(
    recipe: Recipe, dataset: Dataset, template: Template, tasks: Sequence[Template] = ()
) -> Materials:
    """Load or make the tokenizer and the model, and spell the catalog.

    Raises:
        RecGenError: A model, a package or a spelling is not to be had.
    """
    from transformers import set_seed

    set_seed(recipe.seed)
    config, dtype = recipe.model, weights_type(recipe.model)
    if config.base == "scratch":
        tokenizer = _new_tokenizer(dataset, [template, *tasks], config.scratch_vocabulary)
    else:
        tokenizer = load_tokenizer(config.base)
    replies = any(task.header["task"] == REPLY for task in tasks)
    if replies:
        add_markers(tokenizer)
    old_tokens = len(tokenizer)
    spellings, statistics, encoder = _spell(recipe.spelling, dataset, tokenizer, recipe.seed)
    new_tokens = range(old_tokens, len(tokenizer))
    if config.base == "scratch":
        if config.adapter != "none":
            raise ConfigError("model.adapter: a model from scratch is trained whole; use 'none'")
        model = _new_model(recipe, tokenizer)
        if config.begin != "random":
            raise ConfigError("model.begin: a model from scratch knows no text yet; use 'random'")
        _compose(model, recipe, dataset, spellings, new_tokens)
        add_dropout(model, recipe.train.embedding_dropout, recipe.train.dropout)
        return Materials(tokenizer, spellings, new_tokens, model, dtype, None, statistics, encoder)
    model = load_model(config.base, dtype, config.quantization)
    digest = weights_digest(model)
    fit_vocabulary(model, len(tokenizer))
    if config.begin == "text":
        texts = dataset.catalog.texts(recipe.spelling.text)
        begin_with_text(model, tokenizer, spellings.tokens, texts, new_tokens)
    add_dropout(model, recipe.train.embedding_dropout, recipe.train.dropout)
    if config.adapter != "none":
        # the markers come last, since composed rows are the first of those that are trained
        markers = marker_ids(tokenizer) if replies else ()
        model = add_adapter(model, config, [*new_tokens, *markers])
    _compose(model, recipe, dataset, spellings, new_tokens)
    images = load_images(config.base, recipe.prompt.images, model)
    return Materials(
        tokenizer, spellings, new_tokens, model, dtype, digest, statistics, encoder, images
    )


def _spell(
    config: SpellingConfig, dataset: Dataset, tokenizer: "PreTrainedTokenizerBase", seed: int
) -> tuple[Spellings, CodeStatistics | None, ItemEncoder | None]:
    if config.scheme != "semantic":
        return spell(dataset.catalog, config.scheme, tokenizer), None, None
    catalog, histories = dataset.catalog, _histories(dataset)
    encoder, codes = from_main(
        lambda: ItemEncoder.fit(
            catalog, histories, config, config.levels, config.codes, seed, balanced=config.balanced
        )
    )
    statistics = code_statistics(codes, config.codes, histories)
    return spell(catalog, "semantic", tokenizer, codes), statistics, encoder


def _compose(
    model: "PreTrainedModel",
    recipe: Recipe,
    dataset: Dataset,
    spellings: Spellings,
    new_tokens: range,
) -> None:
    config = recipe.model
    if not config.embed:
        return
    histories = _histories(dataset)
    vectors = from_main(
        lambda: [
            source_vectors(source, dataset.catalog, histories, recipe.spelling, recipe.seed)
            for source in config.embed
        ]
    )
    pretrained = config.base != "scratch"
    compose(
        model, spellings.tokens, vectors, new_tokens, config.free_dropout, pretrained=pretrained
    )


def _histories(dataset: Dataset) -> list[npt.NDArray[np.int32]]:
    return [sequence.items for sequence in dataset.sequences()]


def _new_tokenizer(
    dataset: Dataset, templates: Sequence[Template], vocabulary: int
) -> "PreTrainedTokenizerBase":
    """A byte-level BPE tokenizer trained on the titles, the templates and what training says.

    What people type is read in lower case.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[BOS, EOS, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [template.text for template in templates]
    if any(template.task.reads == ("dialogue",) for template in templates):
        tokenizer.normalizer = normalizers.Lowercase()
        sequences = list(dataset.sequences())
        said = [
            text
            for each in (sequence.dialogue for sequence in sequences)
            if each
            for text in (*each.utterances, *each.entities)
        ]
        if any(template.header["task"] == REPLY for template in templates):
            said += [sequence.reply for sequence in sequences if sequence.reply]
        # a later turn of a dialogue repeats what was said before
        texts += dict.fromkeys(said)
    tokenizer.train_from_iterator([*texts, *dataset.catalog.titles], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BOS, eos_token=EOS, pad_token=PAD
    )


def _new_model(recipe: Recipe, tokenizer: "PreTrainedTokenizerBase") -> "PreTrainedModel":
    import torch
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig, AutoModelForCausalLM

    settings: dict[str, Any] = {
        "model_type": "qwen3",
        "max_position_embeddings": 2 * recipe.prompt.max_tokens,
        "tie_word_embeddings": True,
        **recipe.model.scratch,
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    try:
        config = AutoConfig.for_model(**settings)
        model = AutoModelForCausalLM.from_config(config)
    except (ValueError, TypeError, StrictDataclassError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"model.scratch: transformers refuses it: {reason}") from error
    return cast_weights(model, getattr(torch, weights_type(recipe.model)))


def add_adapter(
    model: "PreTrainedModel", config: ModelConfig, new_tokens: list[int]
) -> "PreTrainedModel":
    """Put a new adapter on a model, as a recipe says, and let it train the new tokens too."""
    try:
        from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
    except ImportError as error:
        raise MissingPackageError("peft", "train") from error
    if config.adapter == "qlora":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    lora = LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules="all-linear",
        trainable_token_indices=_token_indices(model, new_tokens),
        task_type="CAUSAL_LM",
    )
    adapted = get_peft_model(model, lora)
    show_head_bias(adapted)
    return adapted


def show_head_bias(adapted: "PreTrainedModel") -> None:
    """Let TRL's losses read the head's bias, which PEFT's wrapper for trainable tokens hides."""
    head = adapted.get_output_embeddings()
    if not hasattr(head, "bias"):
        # set past nn.Module, so that it is not registered a second time
        object.__setattr__(head, "bias", head.original_module.bias)


def _token_indices(model: "PreTrainedModel", new_tokens: list[int]) -> Any:
    """The new tokens at the input and, where the two are not tied, at the output."""
    if not new_tokens:
        return None
    if model.config.get_text_config().tie_word_embeddings:
        return new_tokens
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    names = {id(module): name.rpartition(".")[2] for name, module in model.named_modules()}
    return {names[id(module)]: new_tokens for module in ends}
