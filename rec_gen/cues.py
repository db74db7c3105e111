"""The words that say how what follows is meant: refused, asked for, seen, and so on."""

import regex

_NOT = (
    r"\b(?:(?:do|does|did|would|wo|ca|could|should|ai|is|are|was|has|have|had)(?:n'?t| not)|cannot)"
)
_SHORT = r"(?:long|short|old|new|sad|dark|scary|violent|slow|expensive|serious|heavy|silly|bad)"
_SHOWING = r"(?:showing|recommending|suggesting|giving)"
_KIN = r"(?:wife|husband|friends?|kids?|son|daughter|mother|father|brother|sister)"

_KINDS: dict[str, tuple[str, ...]] = {
    "skip": (  # holds a negation and does not negate
        r"\bno (?:worries|problem|thanks|thank you|matter|rush|wonder)\b",
        rf"\bnot (?:too|so|very|overly|really|that) {_SHORT}\b",
        r"\bnot bad\b|\b(?:no|without(?: a| any)?) doubt\b|\bno more (?=waiting)",
    ),
    "ask_idiom": (
        r"\bnothing (?:else )?(?:but|except)\b",
        r"\b(?:why )?(?:don't|can't|won't|couldn't) (?:you|we)"
        r"(?= (?:just )?(?:show|give|find|recommend|suggest|try|watch|see|have)\b)",
    ),
    "deaf": (  # nothing behind it in the clause is asked for
        r"\bnot sure\b|\bdoubt\b|\b(?:don't|do not|didn't) know\b|\bno idea\b|\bwonder\w*\b",
        r"\bwhy\b(?! (?:not|no|don't|only)\b)|\bas if\b|\bif (?:i|only)\b|\bused to\b",
        r"\bno way\b|\bnot (?:saying|that i)\b|\bdo i\b|\bwanted\b|\bhad it with\b",
        r"\bnothing (?:beats|like)\b|\bborn\b|\bi(?:'ve| have)? been\b|\b(?:am|i'm|we're)(?= #)",
        r"^\W*(?:is|are|was|does|did) (?:it|the|that|this|they|these|those)\b|\bit costs?\b",
        rf"\b(?:who|nobody|no one|everybody|everyone|people)\b|\bmy {_KIN}\b",
        rf"\byou(?:'re)? (?:always|keep|kept|only|just|{_SHOWING})\b",
    ),
    "allow": (
        r"\b(?:do|does|did|would)(?:n'?t| not) (?:really )?(?:mind|care (?:if|whether|about))\b",
        r"\b(?:nothing|anything|not) against\b|\bno objections? (?:to|against)\b",
        r"\b(?:fine|okay|ok) with\b",
    ),
    "unclear": (
        r"\b(?:can'?t|cannot|can not|could ?n'?t|never) get enough\b|\b(?:not|never) enough\b",
        r"\bnot (?:only|just|necessarily|exclusively|always|all)\b|\bnot too (?:much|many)\b",
        rf"{_NOT} (?:only|just|always|necessarily|have to|need to|forget|resist|wait|go wrong)\b",
        r"\bcould(?:n't| not) be\b|\bdid(?:n'?t| not) (?:see|watch|read|catch)\b",
        r"\bnever (?:get |been )?(?:tired|bored) of\b|\bnever mind\b",
        r"\bneed ?n'?t\b|\bno need\b|\bsay no to\b",
        r"\breason not to\b|\bwhy not?\b|\b(?:is|are) there (?:no|not)\b",
        r"\bdo you not\b|\bhave(?:n't)? you (?:no|got)\b",
        r"(?<=\bprefer (?:an? )?_+) (?:to|over)\b",
    ),
    "double": (r"\b(?:hate|dislike|avoid|skip|without|except|excluding|anything but)\b",),
    "verb": (rf"{_NOT}\b|\b(?:never|not|no longer|nor|neither|dont|didnt|doesnt)\b",),
    "noun": (
        r"\b(?:nothing|none|no more|non|hardly|exclude|leave out|get rid of|remove|hide|refuse)\b",
        r"\b(?:hated|disliked|hates|avoiding|(?:everything|all) but|instead of|rather than)\b",
        rf"\b(?:(?:tired|sick|bored|enough) of|done with|less|enough|stop {_SHOWING})\b",
    ),
    "no": (r"\bno\b",),
    "ask": (
        r"\b(?:would|'d|i'll) (?:really |also )?(?:like|love|have|take|prefer|rather)\b",
        r"(?<=\w)'d (?:really |also )?(?:like|love|prefer|rather)\b|\bmore(?= _)",
        r"(?<!(?<!can |could |would |will |do |n't |if )\byou )"
        r"\b(?:show|recommend|give|find|suggest|want|need|prefer|try)\b",
        r"\b(?:only|must be|has to be|wanna|looking for|in the mood for|something|make it)\b",
        r"\b(?:how about|do you have|have you got|let's (?:see|watch)|can i (?:have|get|see))\b",
    ),
    "any": (r"\banything\b|\bany(?= _)",),
    "tell": (r"\b(?:tell me(?: more)? about|what about|more about)\b",),
    "like": (
        r"\blik(?:e|ed|es|ing)\b|\b(?:love|loved|enjoyed|similar|favou?rite)\b|\bas \w+ as\b",
    ),
    "than": (r"\bthan\b",),
    "seen": (
        r"(?<!\bto |\bgood |\bcan )\b(?:seen|saw|watched|read|played|own(?:ed)?|bought)\b",
        r"(?<=\b(?:i|we|i've|we've)(?: already| both)? )(?:have|know|had)\b",
    ),
    "with": (r"\b(?:with|by|starring|featuring)\b",),
}

CUES = regex.compile(
    "|".join(f"(?P<{kind}>{'|'.join(patterns)})" for kind, patterns in _KINDS.items())
)
"""Finds a cue in a text in lower case; the group that matches names its kind. Earlier ones win."""
