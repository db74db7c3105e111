"""What a prompt experiment is made of: templates, models and history lengths, and who is asked."""

from itertools import product
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, ValidationInfo, field_validator, model_validator

from rec_gen.config import Config
from rec_gen.data.config import DataConfig, WholePath
from rec_gen.decoding.score import Score
from rec_gen.errors import PromptError
from rec_gen.tasks import MAIN
from rec_gen.templates import Template


class TemplateConfig(Config):
    """A template that is tried.

    Attributes:
        template: A template's name or the path of a `.jinja` file.
        name: What it is called in the report; default: the file's name without its ending.
        group: Templates of one group are wordings of one prompt; the report says how far their
            results lie apart.
    """

    template: str
    name: str = Field(default_factory=lambda values: Path(values.get("template", "")).stem)
    group: str | None = None

    @field_validator("template")
    @classmethod
    def _ranks(cls, value: str) -> str:
        try:
            task = Template.load(value).header["task"]
        except PromptError as error:
            raise ValueError(str(error)) from error
        if task != MAIN:
            raise ValueError(f"is for the task {task}, and an experiment is about {MAIN}")
        return value


class ModelConfig(Config):
    """A model that is tried: a base model as it is, or a bundle.

    Attributes:
        base: A hub name, a local folder or `smollm2-135m`; it is not tuned and spells by title.
        bundle: A bundle's folder; it spells as it was trained.
        name: What it is called in the report; default: the last part of its name or, for a bundle
            that is called so, of its run folder.
    """

    base: str | None = None
    bundle: WholePath | None = None
    name: str = Field(default_factory=lambda values: _model_name(values))

    @field_validator("bundle")
    @classmethod
    def _exists(cls, value: Path | None) -> Path | None:
        if value is not None and not (value / "manifest.json").is_file():
            raise ValueError(f"{value} is not a bundle")
        return value

    @model_validator(mode="after")
    def _one_origin(self) -> "ModelConfig":
        if (self.base is None) == (self.bundle is None):
            raise ValueError("give a base or a bundle, and not both")
        return self


def _model_name(values: dict[str, Any]) -> str:
    bundle = values.get("bundle")
    if bundle is None:
        return Path(values.get("base") or "").name
    return str(bundle.parent.name if bundle.name == "bundle" else bundle.name)


class Arm(NamedTuple):
    """One combination that is measured.

    Attributes:
        variant: Its model and history where there are several; the end of its name.
        template: The template.
        model: The model.
        history: Interactions shown at most.
    """

    variant: str
    template: TemplateConfig
    model: ModelConfig
    history: int

    @property
    def name(self) -> str:
        """What it is called."""
        return self.template.name + self.variant


class ExperimentConfig(Config):
    """An experiment: every template with every model and every history length.

    Attributes:
        name: The experiment's name.
        data: The data set.
        split: Whose held-out interactions are asked for.
        users: How many users are drawn, each with all of their interactions of the split; None
            takes all.
        seed: Draws users and examples, and the bootstrap.
        exclude_seen: Never rank an item of the history.
        score: `lm` or `catalog`; None is what a bundle was trained by, and `lm` for a base model.
        exact: Search on until the likeliest items are found for certain.
        beam_width: Prefixes that go on at once.
        max_tokens: Tokens of a prompt at most; older interactions are left out until it fits.
        history: Interactions shown at most, one arm for each.
        shots: Worked examples, for templates that show some.
        shot_history: Interactions of a worked example at most.
        block: Users whose results are kept together; a killed run loses one block at most.
        templates: The templates.
        models: The models.
        baseline: The arm that the others are compared with; default: the first.
        slices: Columns of the catalog, or of the users as in `user.age`, that slice the examples
            too.
    """

    name: str = Field(pattern=r"^[\w.-]+$")
    data: DataConfig
    split: Literal["valid", "test"] = "test"
    users: int | None = Field(default=None, ge=2)
    seed: int = Field(default=0, ge=0)
    exclude_seen: bool = True
    score: Score | None = None
    exact: bool = False
    beam_width: int = Field(default=20, ge=1)
    max_tokens: int = Field(default=1024, ge=1)
    history: tuple[int, ...] = Field(default=(20,), min_length=1)
    shots: int = Field(default=3, ge=0)
    shot_history: int = Field(default=5, ge=1)
    block: int = Field(default=8, ge=1)
    templates: tuple[TemplateConfig, ...] = Field(min_length=1)
    models: tuple[ModelConfig, ...] = Field(min_length=1)
    baseline: str = Field(default_factory=lambda values: _arm_names(values)[0])
    slices: tuple[str, ...] = ()

    @field_validator("history")
    @classmethod
    def _shown(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if min(value) < 1 or len(set(value)) < len(value):
            raise ValueError("give whole numbers of at least 1, each once")
        return value

    @field_validator("templates", "models")
    @classmethod
    def _told_apart(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        names = [entry.name for entry in value]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two are called '{name}'; give one another name")
        return value

    @field_validator("models")
    @classmethod
    def _arms_told_apart(
        cls, value: tuple[ModelConfig, ...], info: ValidationInfo
    ) -> tuple[ModelConfig, ...]:
        names = _arm_names({**info.data, "models": value})
        for name in names:
            if names.count(name) > 1:
                raise ValueError(
                    f"two arms are called '{name}'; give a template or a model another name"
                )
        return value

    @field_validator("baseline")
    @classmethod
    def _is_an_arm(cls, value: str, info: ValidationInfo) -> str:
        names = _arm_names(info.data)
        if names and value not in names:
            raise ValueError(f"no arm is called '{value}'; choose one of {', '.join(names)}")
        return value

    @property
    def arms(self) -> list[Arm]:
        """All combinations, those of one model together."""
        return _arms(self.templates, self.models, self.history)


def _arm_names(values: dict[str, Any]) -> list[str]:
    """The names of all arms; none where a part of them is wrong already."""
    parts = [values.get(key, ()) for key in ("templates", "models", "history")]
    return [arm.name for arm in _arms(*parts)]


def _arms(
    templates: tuple[TemplateConfig, ...],
    models: tuple[ModelConfig, ...],
    history: tuple[int, ...],
) -> list[Arm]:
    arms = []
    for model, template, length in product(models, templates, history):
        variant = f" / {model.name}" if len(models) > 1 else ""
        variant += f" / {length}" if len(history) > 1 else ""
        arms.append(Arm(variant, template, model, length))
    return arms
