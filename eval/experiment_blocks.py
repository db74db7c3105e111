"""What one arm of an experiment answers to a block of users, measured once and then kept."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from eval.experiment_config import Arm, ExperimentConfig
from eval.experiment_model import Subject
from rec_gen.data.dataset import Dataset, Example
from rec_gen.decoding.filters import EligibleLeaves, LeafFilter
from rec_gen.decoding.score import Score
from rec_gen.decoding.search import search
from rec_gen.errors import DataError, NoEligibleItemError, PromptError
from rec_gen.files import write_text
from rec_gen.prompting import Prompt, PromptConfig, PromptRenderer
from rec_gen.slots import Known, draw_shots
from rec_gen.templates import Template
from rec_gen.versions import installed_versions

K = 10
FORMAT = 1
"""Raised when a block means something else, so that older ones are measured anew."""


Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class Answered:
    """What one request was answered.

    Attributes:
        items: The ids of up to `K` items, best first.
        rank: The place of the held-out item among them, from 0; None where it is not.
        certified: Whether no other item could have ranked higher.
        tokens: Tokens of the prompt.
        shown: Interactions that the prompt showed.
        left_out: Interactions that it should have shown and that did not fit.
        seconds: What rendering and search took, alone on the machine as far as we know.
    """

    items: list[str]
    rank: Count | None
    certified: bool
    tokens: Count
    shown: Count
    left_out: Count
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class ArmIdentity:
    """What an arm is, once its model is loaded.

    Attributes:
        arm: The arm.
        template: Its template.
        model_digest: The digest of its model.
        spelling: How that writes items.
        score: The score that it is searched by.
    """

    arm: Arm
    template: Template
    model_digest: str
    spelling: str
    score: Score


class ArmRunner:
    """Asks one arm.

    Attributes:
        identity: What the arm is.
    """

    def __init__(
        self, arm: Arm, subject: Subject, dataset: Dataset, config: ExperimentConfig
    ) -> None:
        """Make the arm's renderer.

        Raises:
            PromptError: There are too few users to draw worked examples from.
        """
        template = Template.load(arm.template.template)
        score = config.score or subject.score
        self.identity = ArmIdentity(arm, template, subject.digest, subject.spellings.scheme, score)
        self._subject, self._dataset, self._config = subject, dataset, config
        self._renderer = PromptRenderer(
            template,
            dataset.catalog,
            subject.spellings,
            subject.tokenizer,
            PromptConfig(
                template=arm.template.template,
                max_history=arm.history,
                max_tokens=config.max_tokens,
            ),
        )
        shots = config.shots if "examples" in template.inputs else 0
        self._shots = draw_shots(dataset, shots, config.shot_history, config.seed)
        self._leaves = LeafFilter(subject.trie)

    def key(self, examples: Sequence[Example]) -> str:
        """A digest of all that decides the answers, prompts token by token.

        Raises:
            PromptError: An example cannot be rendered.
        """
        config, asked = self._config, blake2b(digest_size=16)
        for example in examples:
            parts = (example.user, self._render(example).ids, example.history.tolist())
            asked.update(json.dumps([*parts, example.target]).encode())
        decides = {
            "format": FORMAT,
            "k": K,
            "data": self._dataset.fingerprint,
            "template": self.identity.template.sha256,
            "asked": asked.hexdigest(),
            "model": self.identity.model_digest,
            "spelling": self._subject.spelling_digest,
            "score": self.identity.score,
            "options": config.model_dump(include={"exact", "beam_width", "exclude_seen"}),
            "shown": [self.identity.arm.history, config.max_tokens],
            "code": _code_digest(),
            "versions": installed_versions(),
        }
        text = json.dumps(decides, sort_keys=True)
        return blake2b(text.encode(), digest_size=16).hexdigest()

    def ask(self, example: Example) -> Answered:
        """Ask for one held-out item; requests run alone, so that none disturbs another.

        Raises:
            DataError: Every item was seen.
        """
        start = time.perf_counter()
        prompt = self._render(example)
        seen = example.history.tolist() if self._config.exclude_seen else []
        try:
            leaves = EligibleLeaves(self._leaves, [seen])
        except NoEligibleItemError as error:
            raise DataError(
                f"{self._dataset.name}: user '{example.user}' has seen every item: set "
                "exclude_seen = false"
            ) from error
        (found,) = search(
            self._subject.runtime,
            [prompt.ids],
            self._subject.trie,
            leaves,
            K,
            min(self._config.beam_width, len(self._dataset.catalog)),
            self.identity.score,
            exact=self._config.exact,
        )
        return Answered(
            items=[self._dataset.catalog.ids[item] for item in found.items],
            rank=found.items.index(example.target) if example.target in found.items else None,
            certified=bool(found.certified),
            tokens=len(prompt.ids),
            shown=prompt.kept,
            left_out=min(len(example.history), self.identity.arm.history) - prompt.kept,
            seconds=round(time.perf_counter() - start, 6),
        )

    def _render(self, example: Example) -> Prompt:
        try:
            known = Known.of(self._dataset, example, self._shots)
            return self._renderer.render(example.history, known=known)
        except PromptError as error:
            raise PromptError(
                f"arm '{self.identity.arm.name}', user '{example.user}': {error}"
            ) from error


def read_block(path: Path, count: int) -> list[Answered] | None:
    """Read the answers of a block; None where it was not asked yet.

    Args:
        path: The file.
        count: The number of the block's examples.

    Raises:
        DataError: The file is damaged.
    """
    try:
        answers = TypeAdapter(list[Answered]).validate_json(path.read_bytes(), strict=True)
        if len(answers) != count:
            raise ValueError(f"holds {len(answers)} answers to {count} examples")
        for answer in answers:
            if answer.rank is not None and answer.rank >= len(answer.items):
                raise ValueError(f"holds the rank {answer.rank} in a list of {len(answer.items)}")
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise DataError(f"{path}: is damaged: remove it, and it is measured again") from error
    return answers


def write_block(path: Path, answers: Sequence[Answered]) -> None:
    """Write the answers of a block beside their place and rename them."""
    rows: list[dict[str, Any]] = [asdict(answer) for answer in answers]
    write_text(path, json.dumps(rows) + "\n")


def _code_digest() -> str:
    """A digest of the code that renders, spells and searches."""
    root = Path(__file__).parent.parent / "rec_gen"
    names = ("item_view", "links", "marks", "prompting", "slots", "spelling", "templates", "text")
    files = [*(root / f"{name}.py" for name in names), *sorted((root / "decoding").glob("*.py"))]
    digest = blake2b(Path(__file__).read_bytes(), digest_size=16)
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()
