"""Presidio's recognisers as they are put together here.

Source: Presidio (Microsoft, 2018 on), its recognisers by pattern and checksum.
"""

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rec_gen.errors import ConfigError

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine, RecognizerResult

_WEB = (
    r"\b(?:https?://|www\.)[^\s<>\"']*[^\s<>\"')\].,;:!?]",
    r"(?:(?<![\w.-])|(?<=\.\.))(?:[a-z0-9-]+\.)+[a-z]{2,}/[^\s<>\"']*[^\s<>\"')\].,;:!?]",
)
_ENOUGH = 0.4
"""The score from which a finding counts: that of a valid phone number without further words."""


def build_analyzer(names: str | None, countries: Sequence[str]) -> "AnalyzerEngine":
    """Recognisers that ask nobody; Presidio's own for e-mail would fetch a list of domains.

    Args:
        names: A spaCy model that finds names of persons, or its folder; None finds none.
        countries: Those whose national phone numbers are found beside the ones of the default.

    Raises:
        ModuleNotFoundError: Presidio is not installed.
        ConfigError: The model is not installed, or a country is none.
    """
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
    for region in countries:
        if region not in SUPPORTED_REGIONS:
            raise ConfigError(
                f"mask.regions: '{region}' is no country: write its two letters, as PL"
            )
    regions = (*PhoneRecognizer.DEFAULT_SUPPORTED_REGIONS, *countries)
    recognizers: list[LocalRecognizer] = [
        PatternRecognizer("EMAIL_ADDRESS", patterns=EmailRecognizer.PATTERNS),
        PatternRecognizer("URL", patterns=web),
        PhoneRecognizer(supported_regions=regions),
        CreditCardRecognizer(),
        IbanRecognizer(regex_flags=re.IGNORECASE),
        IpRecognizer(),
        MacAddressRecognizer(),
    ]
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
