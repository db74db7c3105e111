"""What a training run is made of; every recipe is one TOML file of this shape."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import Field, field_validator, model_validator

from rec_gen.config import Config, parse_config, read_toml
from rec_gen.data.config import DataConfig
from rec_gen.decoding.score import Score
from rec_gen.errors import ConfigError
from rec_gen.models import Dtype, Quantization
from rec_gen.prompting import PromptConfig
from rec_gen.semantic_ids import ItemVectorConfig, Source
from rec_gen.spelling import Scheme
from training.privacy_config import PrivacyConfig
from training.tracking import Tracker


class SpellingConfig(ItemVectorConfig):
    """How items are spelled; for semantic IDs and for embeddings also what their vectors are.

    Attributes:
        scheme: `title`, `semantic` or `item`.
        levels: For semantic IDs, codes an item.
        codes: For semantic IDs, clusters a level.
        balanced: For semantic IDs, whether a level's clusters are of equal size.
    """

    scheme: Scheme = "item"
    levels: int = Field(default=3, ge=1, le=25)
    codes: int = Field(default=256, ge=2)
    balanced: bool = True


class ModelConfig(Config):
    """The model that is trained.

    Attributes:
        base: A hub name, a local folder, `smollm2-135m`, or `scratch` for random weights.
        scratch: For `scratch`, the transformers configuration; `model_type` defaults to `qwen3`.
        scratch_vocabulary: For `scratch`, the size of the tokenizer before items are added.
        begin: What the new tokens of a pretrained model begin as: `random` draws around its mean
            embedding, or the mean embedding of their items' `text`.
        embed: The sources of the vectors of items, a projection of which is added to the free
            part of each new token's embedding; none leaves the free part alone.
        free_dropout: With composed embeddings, how often a free part is left out in training.
        adapter: `none` trains all weights, `lora` an adapter (Hu et al., 2021), `qlora` an
            adapter on a base in 4 bits (Dettmers et al., 2023).
        rank: The rank of the adapter.
        alpha: The scale of the adapter.
        dropout: Dropout on the adapter's input.
        dtype: The type of the weights; `auto` is bfloat16 where the machine computes with it, else
            float32.
    """

    base: str = "scratch"
    scratch: dict[str, Any] = Field(default_factory=dict)
    scratch_vocabulary: int = Field(default=384, ge=300)
    begin: Literal["random", "text"] = "random"
    embed: tuple[Source, ...] = ()
    free_dropout: float = Field(default=0.2, ge=0, lt=1)
    adapter: Literal["none", "lora", "qlora"] = "none"
    rank: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)
    dropout: float = Field(default=0.05, ge=0, lt=1)
    dtype: Dtype | Literal["auto"] = "float32"

    @field_validator("base")
    @classmethod
    def _whole_path(cls, base: str) -> str:
        """A local folder is found from any working directory."""
        return str(Path(base).absolute()) if Path(base).is_dir() else base

    @property
    def quantization(self) -> Quantization:
        """How the base model is quantised."""
        return "nf4" if self.adapter == "qlora" else "none"


class TrainConfig(Config):
    """How it is trained.

    Attributes:
        loss: `every-item` teaches each item of a history from those before it, in one pass;
            `last-item` makes one example of each.
        score: `lm` is the loss over the whole vocabulary, `catalog` over the tokens that the trie
            allows at each place; items are searched by the same score afterwards.
        recency: How much more late interactions weigh in the loss: by its exponential more than
            the earliest ones; for the score `catalog` with the loss on every item.
        text_weight: What a label of an answer in text weighs, where one of an item weighs 1; for
            the score `catalog`.
        label_smoothing: The share of each label that is spread over the other choices.
        dropout: How often what a block adds to the residual stream is dropped out.
        embedding_dropout: How often a component of an embedding is dropped out.
        crops: Random pieces of each user's sequence that are learnt besides.
        item_dropout: How often a token of an item is blanked in what the model reads.
        neftune_alpha: The strength of noise on the input embeddings (NEFTune, Jain et al., 2023).
        adversarial: Change the embeddings of half of the examples so as to raise the loss most,
            each by this share of its length (Miyato et al., 2017). A step takes nearly twice as
            long.
        max_steps: Optimizer steps.
        max_minutes: Stop after this time, counted over resumed runs.
        batch_size: Examples a batch and process: a step learns from this times `accumulation` times
            the processes that `accelerate launch` starts, one otherwise.
        accumulation: Batches of each process that are summed up to one step.
        learning_rate: The highest learning rate.
        schedule: The learning rate's schedule, by its name in transformers.
        warmup_steps: Steps to the highest learning rate.
        weight_decay: AdamW's decay.
        packing: Put several examples into one row of a batch, apart from each other, so that
            nothing is padded (Krell et al., Efficient Sequence Packing without
            Cross-contamination, 2021). A row is as long as a prompt may be.
        group_by_length: Batches of nearly the same length: less padding, and an order that is
            less random.
        gradient_checkpointing: Save memory by computing activations twice.
    """

    loss: Literal["every-item", "last-item"] = "every-item"
    score: Score = "lm"
    recency: float = Field(default=0.0, ge=0, le=10)
    text_weight: float = Field(default=1.0, gt=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    embedding_dropout: float = Field(default=0.0, ge=0, lt=1)
    crops: int = Field(default=0, ge=0)
    item_dropout: float = Field(default=0.0, ge=0, lt=1)
    neftune_alpha: float | None = Field(default=None, gt=0)
    adversarial: float | None = Field(default=None, gt=0, le=1)
    max_steps: int = Field(ge=1)
    max_minutes: float | None = Field(default=None, gt=0)
    batch_size: int = Field(default=32, ge=1)
    accumulation: int = Field(default=1, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    schedule: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"
    warmup_steps: int = Field(default=0, ge=0)
    weight_decay: float = Field(default=0.0, ge=0)
    packing: bool = False
    group_by_length: bool = False
    gradient_checkpointing: bool = False

    @model_validator(mode="after")
    def _weighted_where_it_can_be(self) -> Self:
        if self.recency and (self.score, self.loss) != ("catalog", "every-item"):
            raise ValueError('recency needs score = "catalog" and loss = "every-item"')
        if self.text_weight != 1 and self.score != "catalog":
            raise ValueError('text_weight needs score = "catalog"')
        return self

    @model_validator(mode="after")
    def _packed_where_it_can_be(self) -> Self:
        for key in ("recency", "group_by_length"):
            if self.packing and getattr(self, key):
                raise ValueError(f"packing goes without {key}: leave one of them out")
        return self


class ValidationConfig(Config):
    """How the best step is found.

    Attributes:
        every_steps: Steps between validations; a checkpoint is written at each.
        users: Validation examples that are ranked, drawn with the run's seed; None ranks all.
        patience: Validations without a better NDCG@10 before training stops.
        beam_width: The beam of the search that ranks.
        exclude_seen: Whether items of the history are left out.
    """

    every_steps: int = Field(default=100, ge=1)
    users: int | None = Field(default=None, ge=1)
    patience: int = Field(default=5, ge=1)
    beam_width: int = Field(default=10, ge=1)
    exclude_seen: bool = True


class PriorConfig(Config):
    """What is counted beside the model, for the hybrid.

    Attributes:
        smoothing: The share of the prior's probability that every item has alike.
    """

    smoothing: float = Field(default=0.1, gt=0, le=1)


class TaskConfig(Config):
    """One further task of the mixture.

    Attributes:
        template: A template's name or the path of a `.jinja` file; its header says which task.
        weight: Examples of it for each example of the recipe's own prompt.
        liked_from: For a rating, from which rating of the data on the answer is yes. Without, it
            is yes for what a user chose next, and no for items drawn by popularity.
    """

    template: str
    weight: float = Field(default=1.0, gt=0, le=100)
    liked_from: float | None = None


class DomainConfig(Config):
    """A further catalog that the same model learns.

    Attributes:
        name: What requests call it.
        data: Its data set; a `share` of 0 lets the model only know its items.
        template: The prompt of its histories; None is the recipe's.
        weight: How often each of its training rows is learnt for once of the first domain's.
    """

    name: str = Field(pattern=r"^\w[\w.-]*$", max_length=100)
    data: DataConfig
    template: str | None = None
    weight: float = Field(default=1.0, gt=0, le=100)


class Recipe(Config):
    """A training run.

    Attributes:
        name: The run's name; its folder is `runs/NAME` unless another is given.
        seed: Seeds weights, order and samples.
        prior: Count the training sequences for the hybrid; None leaves that out.
        tasks: What the model learns beside the next item.
        privacy: Train with differential privacy; None without.
        domains: Further catalogs beside that of `data`, which is the first domain.
        track: Where the curves go beside TensorBoard; the variables of these trackers, such as
            `WANDB_PROJECT` and `MLFLOW_TRACKING_URI`, say where that is.
    """

    name: str = Field(pattern=r"^[\w.-]+$", max_length=100)
    seed: int = Field(default=0, ge=0, lt=2**32)
    data: DataConfig
    prompt: PromptConfig = PromptConfig()
    spelling: SpellingConfig = SpellingConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig
    validation: ValidationConfig = ValidationConfig()
    prior: PriorConfig | None = None
    tasks: tuple[TaskConfig, ...] = ()
    privacy: PrivacyConfig | None = None
    domains: tuple[DomainConfig, ...] = ()
    track: tuple[Tracker, ...] = ()

    @model_validator(mode="after")
    def _domains_fit(self) -> Self:
        names = [domain.name for domain in self.domains]
        folders = [name.casefold() for name in names]
        for name in names:
            if folders.count(name.casefold()) > 1:
                raise ValueError(f"domains: '{name}' names two of them; give another name to one")
        if self.domains and self.tasks:
            raise ValueError("domains share the task of the next item; leave [[tasks]] out")
        columns = [each for each in (*self.spelling.sources, *self.model.embed) if ":" in each]
        if self.domains and columns:
            raise ValueError(f"domains share no columns of vectors; leave '{columns[0]}' out")
        if self.domains and self.train.packing:
            raise ValueError("domains go without packing; leave train.packing out")
        return self

    @model_validator(mode="after")
    def _encodes_its_columns(self) -> Self:
        sources = {*self.spelling.sources, *self.model.embed}
        for column in self.spelling.encoders or ():
            if sources.isdisjoint((f"text:{column}", f"image:{column}")):
                raise ValueError(
                    f"spelling.encoders: no source is text:{column} or image:{column}; remove it"
                )
        return self


AnyRecipe = TypeVar("AnyRecipe", bound=Recipe)


def recipe_path(name: str) -> Path:
    """The file of a recipe: a path as it is, or the name of one that comes with the package.

    Raises:
        ConfigError: There is neither.
    """
    folder = Path(str(resources.files("training.recipes")))
    names = sorted(file.stem for file in folder.glob("*.toml"))
    if name in names:
        return folder / f"{name}.toml"
    if not name.endswith(".toml"):
        choices = ", ".join(names)
        raise ConfigError(f"no recipe '{name}': choose one of {choices}, or give a TOML file")
    return Path(name)


def read_recipe(
    kind: type[AnyRecipe], name: str, data: DataConfig | None, overrides: Sequence[str]
) -> AnyRecipe:
    """Read a recipe by its name or file, with another data set where one is given.

    Raises:
        ConfigError: There is no such recipe, or it is wrong.
    """
    path = recipe_path(name)
    table = read_toml(path)
    if data is not None:
        table["data"] = data.model_dump(exclude_unset=True)
    return parse_config(kind, table, overrides, str(path))
