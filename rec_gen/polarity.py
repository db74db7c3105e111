"""How a clause stands to what it names: asked for, refused, seen, or none of these."""

from dataclasses import dataclass
from enum import StrEnum

import regex

from rec_gen.clauses import Clause


class Stance(StrEnum):
    """How a place in a clause is meant."""

    BARE = "bare"
    ASKED = "asked"
    ALLOWED = "allowed"
    REFUSED = "refused"
    SEEN = "seen"
    LIKED = "liked"
    TOLD = "told"
    UNCLEAR = "unclear"


_NOT = r"(?:(?:do|does|did|would|wo|ca|could|should|is|are|was|has|have|had)(?:n'?t| not)|cannot)"
_GENERIC = r"(?:movies?|films?|books?|ones?|items?|titles?|stuff|things?)"
_SHORT = r"(?:long|short|old|new|sad|dark|scary|violent|slow|expensive|serious|heavy|silly|bad)"

_CUES = regex.compile(
    "|".join(
        f"(?P<{kind}>{pattern})"
        for kind, pattern in (
            # idioms that hold a negation and do not negate
            ("skip", r"\bno (?:worries|problem|thanks|thank you|doubt|matter|rush|wonder|way)\b"
                     rf"|\bnot (?:too|so|very|overly|really|that) {_SHORT}\b|\bnot bad\b"),
            ("ask_idiom", r"\bnothing (?:else )?(?:but|except)\b"
                          rf"|\b(?:why )?(?:don't|can't|won't|couldn't) (?:you|we)(?= (?:just )?"
                          r"(?:show|give|find|recommend|suggest|try|have)\b)"),
            ("deaf", r"\bnot sure\b|\b(?:don't|do not|didn't) know\b|\bno idea\b|\bwonder\w*\b"
                     r"|\bwhy\b(?! (?:not|no|don't|only)\b)"),
            ("allow", r"\b(?:do|does|did|would)(?:n'?t| not) (?:really )?"
                      r"(?:mind|care (?:if|whether|about))\b|\bno objections? (?:to|against)\b"),
            ("unclear", r"\b(?:can'?t|cannot|can not|could ?n'?t|never) get enough\b"
                        r"|\bnot (?:only|just|necessarily|exclusively|always|all)\b"
                        rf"|\b{_NOT} (?:only|just|always|necessarily|have to|need to)\b"
                        r"|\bneed ?n'?t\b|\bno need\b|\bnot too (?:much|many)\b"),
            ("double", r"\b(?:hate|dislike|avoid|skip|without|except|excluding|anything but)\b"),
            ("verb", rf"\b(?:{_NOT}|never|not|no longer|nor|neither|don't|dont|didnt|doesnt)\b"),
            ("noun", r"\b(?:nothing|none|no more|no one|hated|disliked|hates|avoiding"
                     r"|(?:everything|all) but|instead of|rather than"
                     r"|(?:tired|sick|bored|enough) of|less|enough"
                     r"|stop (?:showing|recommending|suggesting|giving))\b"),
            ("no", r"\bno\b"),
            ("ask", r"\b(?:would|'d|i'll) (?:really |also )?(?:like|love|have|take|prefer)\b"
                    r"|(?<=\w)'d (?:really |also )?(?:like|love|prefer)\b"
                    r"|(?<!(?<!can |could |would |will |do |n't |if )\byou (?:always |only |keep )?)"
                    r"\b(?:only|must be|has to be|want|wanna|need|looking for|show|recommend|give"
                    r"|find|suggest|prefer|in the mood for|something|make it|how about|try"
                    r"|do you have|have you got|let's (?:see|watch)|can i (?:have|get|see))\b"),
            ("any", r"\banything\b"),
            ("tell", r"\b(?:tell me(?: more)? about|what about|more about)\b"),
            ("like", r"\blik(?:e|ed|es|ing)\b|\b(?:love|loved|enjoyed|than|similar|favou?rite)\b"
                     r"|\bas \w+ as\b"),
            ("seen", r"(?<!\bto |\bgood |\bcan )\b(?:seen|saw|watched|read|played|owned?|bought)\b"
                     r"|(?<=\b(?:i|we|i've|we've)(?: already| both)? )(?:have|know|had)\b"),
            ("with", r"\b(?:with|by|starring|featuring)\b"),
        )
    )
)  # fmt: skip
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
_ONLY = regex.compile(rf"(?: {_GENERIC})? (?:only|instead)\b")
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
        self._cues: list[_Cue] = []
        self._negation: tuple[str, int] | None = None
        self._deaf = False
        for match in _CUES.finditer(self._words):
            stance = self._read(str(match.lastgroup), match.start(), match.end())
            if stance is not None:
                self._cues.append(_Cue(match.end(), stance))

    def of(self, start: int, end: int) -> Stance:
        """How a name of a value is meant; likeness does not count.

        Args:
            start: Where it begins in the clause.
            end: Where it ends.
        """
        cues = [cue for cue in self._cues if cue.end <= start and cue.stance is not Stance.LIKED]
        stance = cues[-1].stance if cues else Stance.BARE
        if stance is not Stance.REFUSED and _FINE.match(self._words, end):
            return Stance.ALLOWED
        if stance is Stance.BARE and (self._pleads or _ONLY.match(self._words, end)):
            return Stance.ASKED
        return Stance.UNCLEAR if stance in (Stance.SEEN, Stance.TOLD) else stance

    def of_item(self, start: int) -> Stance:
        """How an item is meant that is named at a place; one that is named alone is asked for."""
        cues = [cue for cue in self._cues if cue.end <= start]
        if not cues and (self._pleads or _ALONE.fullmatch(self._words)):
            return Stance.ASKED
        return cues[-1].stance if cues else Stance.BARE

    def of_bound(self, start: int) -> Stance:
        """How a bound or a comparison is meant; a "not" before another name is not about it."""
        cues = [cue for cue in self._cues if cue.end <= start and cue.stance is not Stance.LIKED]
        if not cues:
            return Stance.BARE
        cue, between = cues[-1], self._words[cues[-1].end : start]
        if cue.stance is Stance.REFUSED and "_" in between:
            named = between[between.rindex("_") :]
            return Stance.ASKED if regex.search(r"\band\b", named) else Stance.UNCLEAR
        return cue.stance

    def _read(self, kind: str, start: int, end: int) -> Stance | None:
        """The stance from a cue on; None where it changes nothing."""
        between = self._words[self._negation[1] : start] if self._negation else ""
        if self._deaf and kind not in ("no", "double", "noun"):
            return None
        if kind == "deaf":
            self._deaf = True
            return Stance.UNCLEAR
        if kind in ("verb", "noun", "no", "double"):
            again = self._negation is not None and self._negation[0] == "verb"
            if kind == "double" and again and not _ANOTHER.search(between):
                if self._words[start:end] in ("skip",):
                    return None
                return Stance.UNCLEAR
            self._negation = (kind, end)
            return Stance.REFUSED
        if self._negation is not None and kind not in ("skip", "ask_idiom", "allow", "unclear"):
            return self._behind_negation(kind, between, end)
        return self._plain(kind, start)

    def _behind_negation(self, kind: str, between: str, end: int) -> Stance | None:
        apart = bool(_ANOTHER.search(between))
        if kind == "any":
            return None
        if kind == "with":
            if "_" not in between:
                return None
            clear = regex.search(r"\band\b", between[between.rindex("_") :])
            if clear and not regex.search(r"\b(?:any|anything|no)\b", between):
                self._negation = None
                return Stance.ASKED
            return None if clear else Stance.UNCLEAR
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
        stances = {"like": Stance.LIKED, "seen": Stance.SEEN, "tell": Stance.TOLD}
        return stances.get(kind, Stance.ASKED)
