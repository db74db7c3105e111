"""How a clause stands to what it names: asked for, refused, seen, or none of these."""

from bisect import bisect_right
from dataclasses import dataclass
from enum import StrEnum

import regex

from rec_gen.clauses import Clause
from rec_gen.cues import CUES


class Stance(StrEnum):
    """How a place in a clause is meant."""

    BARE = "bare"
    ASKED = "asked"
    WITH = "with"
    ALLOWED = "allowed"
    REFUSED = "refused"
    SEEN = "seen"
    LIKED = "liked"
    COMPARED = "compared"
    TOLD = "told"
    UNCLEAR = "unclear"


_ANOTHER = regex.compile(
    r"_|\b(?:and|so|then)\b|(?<!\b(?:think|believe|say|mean|that|guess)(?: that)? )"
    r"\b(?:i|we|let)(?:'d)?(?: (?:really|just|do|would))*\s*$"
)
"""What stands between a "not" and a request that it does not reach."""
_OTHERS = regex.compile(
    r"\b(?:you|anyone|anybody|everyone|everybody|people|who|he|she|they|friends?|wife|husband|if"
    r"|wish|whether|when)\b[^_]{0,20}$"
)
_FINE = regex.compile(r"\s*(?:is|are|would be|sounds?) (?:fine|ok|okay|good|great|alright)\b")
_ONLY = regex.compile(r"(?: (?:movies?|films?|books?|ones?))? (?:only|instead)\b")
_DENIED = regex.compile(
    r"[^_]*?(?<!\b(?:that|which|it|who)(?:'s)? )"
    r"\b(?:(?:is|are|was)(?:n'?t| not| out\b| the last\b)|ain't)"
)
_PAST = regex.compile(r"#+ (?:i|we) (?:was|were|had)\b|#+ (?:is|are|would be) (?:too|not|out)\b")
_ALONE = regex.compile(
    r"\W*(?:(?:and|or|then|ok|okay|yes|the|a|an|some|one|ones|movies?|films?|books?"
    r"|first|second|third|fourth|fifth|last|two|three|\d(?:st|nd|rd|th))\b|_+|\W)*"
)


@dataclass(frozen=True)
class _Cue:
    end: int
    stance: Stance


class Stances:
    """The stances of the places of a clause.

    A cue, such as "no", "I want" or "seen", holds until the next one. A "not" reaches over the
    verbs behind it, as in "I don't want", but over no name and no "and". What could mean both is
    unclear.

    Args:
        clause: Its names are masked, so that no word of a title is a cue.
        words: The masked words, where more is masked than in the clause itself.
    """

    def __init__(self, clause: Clause, words: str | None = None) -> None:
        self._words = clause.words if words is None else words
        self._pleads = clause.pleads
        only = clause.alone and _ALONE.fullmatch(self._words) is not None
        self._alone = clause.pleads or only
        self._cues: list[_Cue] = []
        self._negation: tuple[str, int] | None = None
        self._deaf = False
        for match in CUES.finditer(self._words):
            stance = self._read(str(match.lastgroup), match.start(), match.end())
            if stance is not None:
                self._cues.append(_Cue(match.end(), stance))

    def of(self, start: int, end: int) -> Stance:
        """How a name of a value is meant; likeness does not count.

        Args:
            start: Where it begins in the clause.
            end: Where it ends.
        """
        cue = self._before(start, Stance.LIKED)
        stance = cue.stance if cue else Stance.BARE
        stance = Stance.ASKED if stance is Stance.WITH else stance
        if stance is not Stance.REFUSED and _FINE.match(self._words, end):
            return Stance.ALLOWED
        if stance is Stance.ASKED and _DENIED.match(self._words, end):
            return Stance.UNCLEAR
        if stance is Stance.BARE and (self._pleads or _ONLY.match(self._words, end)):
            return Stance.ASKED
        unheard = (Stance.SEEN, Stance.TOLD, Stance.COMPARED)
        return Stance.UNCLEAR if stance in unheard else stance

    def of_item(self, start: int) -> Stance:
        """How an item is meant that is named at a place; one that is named alone is asked for."""
        cue = self._before(start)
        if cue is None:
            return Stance.ASKED if self._alone else Stance.BARE
        return cue.stance

    def of_bound(self, start: int) -> Stance:
        """How a bound or a comparison is meant; a "not" before another name is not about it."""
        cue = self._before(start, Stance.LIKED, Stance.COMPARED)
        if _PAST.match(self._words, start):
            return Stance.UNCLEAR
        if cue is None:
            return Stance.BARE
        between = self._words[cue.end : start]
        if cue.stance is Stance.REFUSED and "_" in between:
            named = between[between.rindex("_") :]
            return Stance.ASKED if regex.search(r"\band\b", named) else Stance.UNCLEAR
        return cue.stance

    def _before(self, start: int, *but: Stance) -> _Cue | None:
        """The last cue before a place whose stance counts."""
        last = bisect_right(self._cues, start, key=lambda cue: cue.end)
        return next((cue for cue in reversed(self._cues[:last]) if cue.stance not in but), None)

    def _read(self, kind: str, start: int, end: int) -> Stance | None:
        """The stance from a cue on; None where it changes nothing."""
        between = self._words[self._negation[1] : start] if self._negation else ""
        if self._deaf and kind not in ("no", "noun"):
            return None
        if kind == "deaf":
            self._deaf = True
            return Stance.UNCLEAR
        if kind in ("verb", "noun", "no", "double"):
            again = self._negation is not None and self._negation[0] == "verb"
            if kind == "double" and again and not _ANOTHER.search(between):
                return Stance.UNCLEAR
            self._negation = (kind, end)
            return Stance.REFUSED
        if kind == "than":
            return Stance.COMPARED
        if self._negation is not None and kind not in ("skip", "ask_idiom", "allow", "unclear"):
            return self._behind_negation(kind, between, end)
        return self._plain(kind, start)

    def _behind_negation(self, kind: str, between: str, end: int) -> Stance | None:
        apart = bool(_ANOTHER.search(between))
        if kind == "any":
            return None
        if kind == "with":
            behind = between[between.rfind("_") + 1 :]
            if "_" not in between or regex.search(r"\b(?:any|anything)\b", behind):
                return None
            return Stance.WITH if regex.search(r"\band\b", behind) else Stance.UNCLEAR
        if kind == "seen" and not apart:
            free = self._negation is not None and self._negation[0] == "no"
            return Stance.SEEN if free else Stance.UNCLEAR
        if not apart and not (self._negation is not None and self._negation[0] == "no"):
            return None
        if kind == "like":
            return Stance.LIKED
        self._negation = None
        return self._plain(kind, end)

    def _plain(self, kind: str, start: int) -> Stance | None:
        if kind == "skip":
            return None
        if kind in ("unclear", "allow"):
            self._negation = None
            return Stance.UNCLEAR if kind == "unclear" else Stance.ALLOWED
        if kind == "ask_idiom":
            self._negation = None
        if kind == "seen" and _OTHERS.search(self._words[:start]):
            return Stance.UNCLEAR
        stances = {
            "with": Stance.WITH,
            "like": Stance.LIKED,
            "seen": Stance.SEEN,
            "tell": Stance.TOLD,
        }
        return stances.get(kind, Stance.ASKED)
