"""Titles that are written to deceive a model or a reader, and what they would be without it.

Mixed scripts and their look-alikes are those of Unicode Technical Standard 39, "Unicode security
mechanisms", as the package confusable-homoglyphs has them.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import polars as pl

from rec_gen.catalog import Catalog
from rec_gen.errors import MissingPackageError

REPEATED, KEPT = 5, 2
"""A word that stands so often is stuffing; so many of it are kept."""
WORDS = 24
"""Titles of up to so many words are never too long."""
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\U000e0000-\U000e007f]"
    # joiners belong to scripts beside the Latin one, and to emoji
    "|(?<![^\\x00-\u024f])[\u200c\u200d]"
    "|[\ufe00-\ufe0f\U000e0100-\U000e01ef]{2,}"
)
_INSTRUCTION = re.compile(
    r"<\|[\w-]+\|>|\[/?INST\]|<</?SYS>>|</?s>|\#{2,}\s*(?:system|instruction|user|assistant)"
    r"|\b(?:ignore|disregard|forget|override)\b.{0,40}\b(?:instructions?|prompts?)\b"
    r"|[.!?>)\]]\s*(?:system|assistant|user)\s*:"
    r"|\b(?:you (?:must|should|are to)|always|only|please) (?:recommend|suggest)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class TitleFinding:
    """A title with something to mend.

    Attributes:
        item: The item's id.
        title: The title as it is.
        findings: What was found, in the order of mending: `invisible` characters, `homoglyphs`,
            an `instruction` to a model, `repetition` of a word, more `length` than the catalog's
            titles have, and `disguise`: without its tricks it would be another item's title.
        mended: The title without it; the item's id where nothing of its own is left.
    """

    item: str
    title: str
    findings: tuple[str, ...]
    mended: str


def screen_titles(catalog: Catalog) -> list[TitleFinding]:
    """Find titles that hide, imitate, instruct or stuff.

    A title in one script, whichever it is, has no homoglyphs; nor has a word that cannot be read in
    one script. Instructions are looked for in English, and in the markup of common chat templates.

    Args:
        catalog: The items.

    Returns:
        The titles with something to mend, in the order of the catalog.

    Raises:
        MissingPackageError: confusable-homoglyphs is not installed.
    """
    try:
        import confusable_homoglyphs  # noqa: F401
    except ImportError as error:
        raise MissingPackageError("confusable-homoglyphs", "screen") from error
    titles = catalog.titles
    owners = Counter(title.casefold() for title in titles)
    mends = _mends(longest_title(titles))
    found = []
    for item, title in zip(catalog.ids, titles, strict=True):
        mended, findings = title, []
        for name, mend in mends.items():
            before, mended = mended, mend(mended)
            if mended != before:
                findings.append(name)
        mended = mended.strip() or item
        if findings and owners[mended.casefold()] > (mended.casefold() == title.casefold()):
            findings, mended = [*findings, "disguise"], item
        if findings:
            found.append(TitleFinding(item, title, tuple(findings), mended))
    return found


def mend_titles(catalog: Catalog, findings: Collection[TitleFinding]) -> Catalog:
    """A catalog in which screened titles are mended."""
    mended = {finding.item: finding.mended for finding in findings}
    title = pl.col("item").replace_strict(mended, default=pl.col("title"), return_dtype=pl.String)
    return Catalog(catalog.frame.with_columns(title.alias("title"))) if mended else catalog


def longest_title(titles: Sequence[str]) -> int:
    """The most words that a title may have: Tukey's outer fence of all titles.

    Source: Tukey, "Exploratory data analysis", 1977.
    """
    lengths = [len(title.split()) for title in titles]
    lower, upper = np.percentile(lengths, (25, 75)) if lengths else (0, 0)
    return max(WORDS, int(upper + 3 * (upper - lower)))


def _mends(longest: int) -> dict[str, Callable[[str], str]]:
    return {
        "invisible": partial(_INVISIBLE.sub, ""),
        "homoglyphs": _without_homoglyphs,
        "instruction": _without_instruction,
        "repetition": _without_repetition,
        "length": lambda title: (
            " ".join(title.split()[:longest]) if len(title.split()) > longest else title
        ),
    }


def _without_instruction(title: str) -> str:
    found = _INSTRUCTION.search(title)
    return title[: found.start()].rstrip(" .,:;!?-–—([{\"'") if found else title  # noqa: RUF001


def _without_repetition(title: str) -> str:
    """Keep the first of each word that stands too often; short words are no keywords."""
    words = [re.sub(r"\W", "", word).casefold() for word in title.split()]
    stuffed = {word for word, n in Counter(words).items() if n >= REPEATED and len(word) > 3}
    if not stuffed:
        return title
    seen: Counter[str] = Counter()
    kept = []
    for word, plain in zip(title.split(), words, strict=True):
        seen[plain] += 1
        if plain not in stuffed or seen[plain] <= KEPT:
            kept.append(word)
    return " ".join(kept)


def _without_homoglyphs(title: str) -> str:
    if title.isascii():
        return title
    plain = "".join(
        unicodedata.normalize("NFKC", char)
        if unicodedata.decomposition(char).startswith("<font>")
        else char
        for char in title
    )
    return re.sub(r"\w+", lambda word: _in_one_script(word[0]), plain)


def _in_one_script(word: str) -> str:
    """A word of several scripts in the first of its scripts that has all of it, Latin before."""
    if word.isascii():
        return word
    from confusable_homoglyphs.categories import alias

    scripts = Counter(alias(char) for char in word if char.isalpha())
    del scripts["COMMON"], scripts["INHERITED"]
    if len(scripts) < 2:
        return word
    for script in sorted(scripts, key=lambda name: (name != "LATIN", -scripts[name])):
        chars = [_look_alike(char, script) for char in word]
        if all(chars):
            return "".join(map(str, chars))
    return word


@lru_cache(maxsize=4096)
def _look_alike(char: str, script: str) -> str | None:
    """The letter of a script that looks like a character, or None; of Latin ones only ASCII."""
    from confusable_homoglyphs.categories import alias
    from confusable_homoglyphs.confusables import confusables_data

    if alias(char) in (script, "COMMON", "INHERITED"):
        return char
    like = (entry["c"] for entry in confusables_data.get(char, ()))
    letters = (c for c in like if len(c) == 1 and c.isalpha() and alias(c) == script)
    return next((c for c in letters if script != "LATIN" or c.isascii()), None)
