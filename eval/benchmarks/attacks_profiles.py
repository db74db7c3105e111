"""Fake profiles that push items of the tail: the gain in exposure, the loss, and screening."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.attack_profiles import KINDS, Kind, Positions, fake_profiles, poison, tail_items
from eval.benchmarks.attacks_runs import (
    differences,
    measure,
    measured,
    rank_bundle,
    rank_counted,
    train,
)
from rec_gen.data.dataset import Dataset, Split
from rec_gen.metrics import Floats
from rec_gen.profile_screening import find_suspects, unlearn

SIZES = (0.01, 0.03, 0.05)
TARGETS = 4
STRONG: tuple[Kind, ...] = ("bandwagon", "alternating")
"""Attacks whose smaller sizes are trained on too."""
COUNTED, MODEL = "Markov + KNN", "model"


@dataclass(frozen=True)
class Cell:
    """One row of the table.

    Attributes:
        kind: The attack; None for the data as it is.
        size: Fake profiles as a share of real users.
        defence: `none`, `screening`, `perturbation`, or `other seed` for the noise of training.
    """

    kind: Kind | None = None
    size: float = 0.0
    defence: str = "none"

    def __str__(self) -> str:
        attack = f"{self.kind} {self.size:.0%}" if self.kind else "no attack"
        return attack if self.defence == "none" else f"{attack}, {self.defence}"


def every_model_cell() -> list[Cell]:
    """What a model is trained for, the most telling first."""
    largest = SIZES[-1]
    cells = [Cell(), *(Cell(kind, largest) for kind in reversed(KINDS))]
    for defence in ("screening", PERTURBATION):
        cells += [Cell(kind, largest, defence) for kind in reversed(KINDS)]
    cells += [Cell(defence=PERTURBATION), Cell(defence="other seed")]
    smaller = [(kind, size) for kind in STRONG for size in SIZES[:-1]]
    return cells + [Cell(*attack, defence) for attack in smaller for defence in DEFENCES]


def every_counted_cell() -> list[Cell]:
    """What the counted baseline is measured for, which takes seconds each."""
    attacks = [Cell(kind, size, d) for kind in KINDS for size in SIZES for d in DEFENCES]
    return [Cell(), *attacks]


DEFENCES, PERTURBATION = ("none", "screening"), "perturbation"


class Attacked:
    """The data of each cell, made once.

    Args:
        dataset: The data as it is.
        seed: Of the targets and the profiles.
    """

    def __init__(self, dataset: Dataset, seed: int) -> None:
        self.targets: Positions = tail_items(dataset, TARGETS, seed)
        self.detection: dict[str, dict[str, float]] = {}
        self._clean, self._seed = dataset, seed
        self._made: dict[Cell, Dataset] = {}

    def data(self, cell: Cell) -> Dataset:
        """The data that a cell's systems learn from."""
        plain = Cell(cell.kind, cell.size, "screening" if cell.defence == "screening" else "none")
        if plain not in self._made:
            self._made[plain] = self._make(plain)
        return self._made[plain]

    def _make(self, cell: Cell) -> Dataset:
        if cell.defence == "screening":
            attacked = self.data(Cell(cell.kind, cell.size))
            suspects = find_suspects(attacked)
            self.detection[str(cell)] = self._judge(attacked, set(suspects))
            return unlearn(attacked, suspects)
        if cell.kind is None:
            return self._clean
        profiles = fake_profiles(self._clean, cell.kind, cell.size, self.targets, self._seed)
        return poison(self._clean, profiles, self._seed)

    def _judge(self, attacked: Dataset, suspects: set[str]) -> dict[str, float]:
        fake = {sequence.user for sequence in attacked.sequences()}
        fake -= {sequence.user for sequence in self._clean.sequences()}
        found = len(fake & suspects)
        return {
            "fake": len(fake),
            "suspects": len(suspects),
            "precision": round(found / len(suspects), 4) if suspects else 1.0,
            "recall": round(found / len(fake), 4) if fake else 1.0,
            "real users suspected": len(suspects) - found,
        }


def run(
    dataset: Dataset,
    folder: Path,
    steps: int,
    seed: int,
    perturbation: float,
    counted_cells: Sequence[Cell] | None = None,
    model_cells: Sequence[Cell] | None = None,
) -> dict[str, Any]:
    """The rows of both systems, and how well screening finds the profiles.

    Args:
        dataset: The data.
        folder: Where the runs are kept.
        steps: Of each training.
        seed: Of everything that is drawn.
        perturbation: `train.adversarial` of the perturbed models.
        counted_cells: What the counted baseline is measured for; None is all of the table.
        model_cells: What a model is trained for; None is all of the table.
    """
    attacked = Attacked(dataset, seed)
    attacked.data(Cell(defence="screening"))
    examples = list(dataset.examples(Split.TEST))
    users = [example.user for example in examples]

    def trained(cell: Cell) -> Floats:
        drawn = seed + (cell.defence == "other seed")
        place = folder / str(cell).replace(" ", "-").replace(",", "").replace("%", "")
        settings = {"train.adversarial": perturbation} if cell.defence == PERTURBATION else {}
        bundle = train(attacked.data(cell), place, steps, drawn, settings)
        return measure(rank_bundle(bundle, examples), attacked.targets)

    def counted(cell: Cell) -> Floats:
        return measure(rank_counted(attacked.data(cell), examples), attacked.targets)

    systems = {
        COUNTED: {str(cell): counted(cell) for cell in counted_cells or every_counted_cell()},
        MODEL: {str(cell): trained(cell) for cell in model_cells or every_model_cell()},
    }
    return {
        "targets": [dataset.catalog.titles[target] for target in attacked.targets],
        "detection": attacked.detection,
        "systems": dict(_rows(systems, users, seed)),
    }


def _rows(
    systems: Mapping[str, Mapping[str, Floats]], users: Sequence[str], seed: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    for system, values in systems.items():
        changes = differences(values, str(Cell()), users, seed)
        levels = {cell: measured(found, users, seed) for cell, found in values.items()}
        yield system, {cell: levels[cell] | changes.get(cell, {}) for cell in values}
