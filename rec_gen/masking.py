"""Personal data in free text, found by Presidio and replaced by fixed words.

Source: Presidio (Microsoft, 2018 on), its recognisers by pattern and checksum.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from rec_gen.config import Config
from rec_gen.errors import MissingPackageError
from rec_gen.recognizers import build_analyzer, surest

if TYPE_CHECKING:
    from presidio_analyzer import RecognizerResult
    from presidio_anonymizer.entities import RecognizerResult as Found

PLACEHOLDERS = {
    "EMAIL_ADDRESS": "[email-address]",
    "PHONE_NUMBER": "[phone-number]",
    "CREDIT_CARD": "[credit-card]",
    "IBAN_CODE": "[iban-code]",
    "IP_ADDRESS": "[ip-address]",
    "MAC_ADDRESS": "[mac-address]",
    "URL": "[web-address]",
    "PERSON": "[person-name]",
}
"""What stands for each kind. Without "<" it opens no markup, and with a hyphen it is one word to
whoever listens for names, so that no catalog's "Phone" is heard in it."""
_HINT = re.compile(r"[@:/\d]|www\.|[\da-f]{2}-[\da-f]{2}-|[\da-f]{4}\.[\da-f]{4}\.", re.IGNORECASE)
"""What a text must hold for any of the patterns to fit."""
_PLACEHOLDER = re.compile("(" + "|".join(map(re.escape, PLACEHOLDERS.values())) + ")")

Spans = Sequence[tuple[int, int]]


class Masking(Config):
    """What is masked beside what patterns find.

    Attributes:
        names: An installed spaCy model, or its folder, that finds names of persons; without one
            they stay.
        regions: Further countries, such as `PL`, whose phone numbers are found without `+48` too;
            those of Presidio's default always are.
    """

    names: str | None = None
    regions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Masked:
    """A text without what was found in it.

    Attributes:
        text: The text.
        found: How much was found, by kind, such as `EMAIL_ADDRESS`.
    """

    text: str
    found: Counter[str]


class Masker:
    """Replaces personal data by fixed words; safe to use from several threads.

    Args:
        config: What is masked.

    Raises:
        MissingPackageError: Presidio is not installed.
        ConfigError: The model of names is not installed, or a country is none.

    Example:
        >>> Masker(Masking()).mask("write to ann@example.com").text  # doctest: +SKIP
        'write to [email-address]'
    """

    def __init__(self, config: Masking) -> None:
        try:
            from presidio_anonymizer import AnonymizerEngine
            from presidio_anonymizer.entities import ConflictResolutionStrategy, OperatorConfig

            self._analyzer = build_analyzer(config.names, config.regions)
        except ModuleNotFoundError as error:
            raise MissingPackageError(error.name or "presidio-analyzer", "masking") from error
        self._by_patterns = config.names is None
        self._replace = partial(
            AnonymizerEngine().anonymize,
            operators={
                kind: OperatorConfig("replace", {"new_value": text})
                for kind, text in PLACEHOLDERS.items()
            },
            conflict_resolution=ConflictResolutionStrategy.REMOVE_INTERSECTIONS,
            merge_entities_with_spaces=False,
        )

    def mask(self, text: str, spared: Callable[[str], Spans] | None = None) -> Masked:
        """Replace what is found.

        Args:
            text: Any text. What was masked before stays as it is.
            spared: Gives the spans of a text, in characters, that are not personal, such as titles
                of the catalog; a finding inside of one stays.
        """
        total = Counter[str]()
        while True:  # what was cut away can bring together what is found then
            masked = self._once(text, spared(text) if spared and self._may_hold(text) else ())
            total += masked.found
            if not masked.found:
                return Masked(text, total)
            text = masked.text

    def find(self, text: str) -> "list[RecognizerResult]":
        """What is found in a text without placeholders, each with its kind, span and score."""
        return surest(self._analyzer.analyze(text, "en")) if self._may_hold(text) else []

    def _may_hold(self, text: str) -> bool:
        return not self._by_patterns or _HINT.search(text) is not None

    def _once(self, text: str, spared: Spans) -> Masked:
        pieces, found, start = [], Counter[str](), 0
        for piece in _PLACEHOLDER.split(text):
            stop, masked = start + len(piece), piece
            results = [] if _PLACEHOLDER.fullmatch(piece) else self.find(piece)
            inside = [(max(a - start, 0), b - start) for a, b in spared if a < stop and b > start]
            results = [
                one
                for one in results
                if not any(a <= one.start and one.end <= b for a, b in inside)
            ]
            if results:
                done = self._replace(piece, _as_anonymizer_takes(results))
                masked = done.text
                found.update(item.entity_type for item in done.items)
            pieces.append(masked)
            start = stop
        return Masked("".join(pieces), found)


def _as_anonymizer_takes(results: "Sequence[RecognizerResult]") -> "list[Found]":
    from presidio_anonymizer.entities import RecognizerResult

    return [RecognizerResult(one.entity_type, one.start, one.end, one.score) for one in results]
