"""Personal data in free text, found by Presidio and replaced by fixed words.

Source: Presidio (Microsoft, 2018 on), its recognisers by pattern and checksum.
"""

import hmac
import logging
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rec_gen.config import Config
from rec_gen.errors import ConfigError, MissingPackageError

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine, RecognizerResult
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
_WEB = (
    r"\b(?:https?://|www\.)[^\s<>\"']*[^\s<>\"')\].,;:!?]",
    r"(?:(?<![\w.-])|(?<=\.\.))(?:[a-z0-9-]+\.)+[a-z]{2,}/[^\s<>\"']*[^\s<>\"')\].,;:!?]",
)
_ENOUGH = 0.4
"""The score from which a finding counts: that of a valid phone number without further words."""
_HINT = re.compile(r"[@:/\d]|www\.|[\da-f]{2}-[\da-f]{2}-|[\da-f]{4}\.[\da-f]{4}\.", re.IGNORECASE)
"""What a text must hold for any of the patterns to fit."""
_PLACEHOLDER = re.compile("(" + "|".join(map(re.escape, PLACEHOLDERS.values())) + ")")
_KEY_BYTES = 32

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

            self._analyzer = _analyzer(config)
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


def surest(results: "Sequence[RecognizerResult]") -> "list[RecognizerResult]":
    """Findings without those inside of a surer or longer one, as a phone number in a card's."""
    return [
        one
        for one in results
        if not any(
            other is not one
            and other.start <= one.start
            and one.end <= other.end
            and (other.score, other.end - other.start) > (one.score, one.end - one.start)
            for other in results
        )
    ]


def _as_anonymizer_takes(results: "Sequence[RecognizerResult]") -> "list[Found]":
    from presidio_anonymizer.entities import RecognizerResult

    return [RecognizerResult(one.entity_type, one.start, one.end, one.score) for one in results]


def _analyzer(config: Masking) -> "AnalyzerEngine":
    """Recognisers that ask nobody; Presidio's own for e-mail would fetch a list of domains."""
    from phonenumbers import SUPPORTED_REGIONS
    from presidio_analyzer import (
        AnalyzerEngine,
        LocalRecognizer,
        Pattern,
        PatternRecognizer,
        RecognizerRegistry,
    )
    from presidio_analyzer.nlp_engine import NlpEngine, NoOpNlpEngine, SpacyNlpEngine
    from presidio_analyzer.predefined_recognizers import (
        CreditCardRecognizer,
        EmailRecognizer,
        IbanRecognizer,
        IpRecognizer,
        MacAddressRecognizer,
        PhoneRecognizer,
        SpacyRecognizer,
    )

    # it logs what it cannot check, word for word
    logging.getLogger("presidio-analyzer").setLevel(logging.CRITICAL)
    web = [Pattern(f"web {place}", pattern, 0.6) for place, pattern in enumerate(_WEB)]
    for region in config.regions:
        if region not in SUPPORTED_REGIONS:
            raise ConfigError(
                f"mask.regions: '{region}' is no country: write its two letters, as PL"
            )
    regions = (*PhoneRecognizer.DEFAULT_SUPPORTED_REGIONS, *config.regions)
    recognizers: list[LocalRecognizer] = [
        PatternRecognizer("EMAIL_ADDRESS", patterns=EmailRecognizer.PATTERNS),
        PatternRecognizer("URL", patterns=web),
        PhoneRecognizer(supported_regions=regions),
        CreditCardRecognizer(),
        IbanRecognizer(regex_flags=re.IGNORECASE),
        IpRecognizer(),
        MacAddressRecognizer(),
    ]
    names = config.names
    model = {"lang_code": "en", "model_name": names or "none"}
    engine: NlpEngine = NoOpNlpEngine([model])
    if names is not None:
        _refuse_absent(names)
        engine = SpacyNlpEngine([model])
        recognizers.append(SpacyRecognizer(supported_entities=["PERSON"]))
    return AnalyzerEngine(
        registry=RecognizerRegistry(recognizers, supported_languages=["en"]),
        nlp_engine=engine,
        supported_languages=["en"],
        default_score_threshold=_ENOUGH,
    )


def _refuse_absent(names: str) -> None:
    """Presidio would download a model that is not there."""
    import spacy

    if not (spacy.util.is_package(names) or Path(names).is_dir()):
        raise ConfigError(
            f"mask.names: the spaCy model '{names}' is not installed: install it, name its "
            "folder, or leave mask.names out, and names of persons stay"
        )


def read_user_key(path: Path) -> bytes:
    """Read the key of pseudonyms.

    Raises:
        ConfigError: It cannot be read, or is too short to keep a secret.
    """
    try:
        key = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    if len(key) < _KEY_BYTES:
        raise ConfigError(
            f"{path}: holds {len(key)} bytes: a key of pseudonyms needs {_KEY_BYTES} random ones"
        )
    return key


def pseudonym(user: str, key: bytes) -> str:
    """What stands for a user's id: HMAC-SHA256 under a key, its first 128 bits in hexadecimal.

    Who has the key can link ids and pseudonyms, and nobody else; so this is pseudonymisation and
    no anonymisation.
    """
    return hmac.digest(key, user.encode(), "sha256").hex()[:32]
