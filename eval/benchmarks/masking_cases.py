"""Messages with one piece of personal data each, and real texts that hold none."""

import string
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from phonenumbers import (
    PhoneNumber,
    PhoneNumberFormat,
    PhoneNumberType,
    example_number_for_type,
    format_number,
    is_valid_number,
)

TEMPLATES = (
    "{}",
    "You can reach me at {}, any time.",
    "mine is {} if you need it",
    "Please send the list to {}. I liked Alien (1979) most.",
    "My data: {}; something funny from 1994 to 2001, please?",
    "(I am {}) what did I order on 3/14 for 19.99?",
)
NAMES = ("Maria Lopez", "John Okafor", "Yuki Tanaka", "Anna Kowalska", "Liam O'Brien", "Wei Zhang")
KNOWN_REGIONS = ("US", "GB", "DE", "FR", "IN", "BR")
OTHER_REGIONS = ("PL", "JP", "AU", "MX")
_IBANS = {"DE": 18, "GB": 0, "FR": 23, "NL": 0, "ES": 20, "CH": 17}
"""Digits behind the check digits; 0 where four letters and 14 or 10 digits stand there."""
Make = Callable[[np.random.Generator], str]


@dataclass(frozen=True)
class Case:
    """A message.

    Attributes:
        text: The message.
        kind: What it holds.
        form: How that is written.
        start: Where it begins, in characters.
        stop: Where it ends.
    """

    text: str
    kind: str
    form: str
    start: int
    stop: int


def cases(each: int, seed: int) -> Iterator[Case]:
    """So many messages of each form of each kind, with other values for each seed."""
    rng = np.random.default_rng(seed)
    for (kind, form), make in FORMS.items():
        for _ in range(each):
            value = make(rng)
            before, after = str(rng.choice(TEMPLATES)).split("{}")
            start = len(before)
            yield Case(before + value + after, kind, form, start, start + len(value))


def _pick(rng: np.random.Generator, letters: str, length: int) -> str:
    return "".join(rng.choice(list(letters), length))


_digits = partial(_pick, letters=string.digits)
_hex = partial(_pick, letters="0123456789abcdef")


def _word(rng: np.random.Generator) -> str:
    return _pick(rng, string.ascii_lowercase, int(rng.integers(3, 9)))


def _host(rng: np.random.Generator, ends: Sequence[str] = ("com", "org", "de", "co.uk")) -> str:
    return f"{_word(rng)}.{rng.choice(ends)}"


def _mail(rng: np.random.Generator) -> str:
    return f"{_word(rng)}{rng.choice(['.', '_', '-', ''])}{_word(rng)}@{_host(rng)}"


def _spoken(rng: np.random.Generator) -> str:
    return _mail(rng).replace("@", " at ").replace(".", " dot ")


def _phone(rng: np.random.Generator, form: int, regions: Sequence[str]) -> str:
    """A number that the region's plan has: an example, with other last digits."""
    region = str(rng.choice(regions))
    kind = PhoneNumberType.MOBILE if rng.random() < 0.5 else PhoneNumberType.FIXED_LINE
    example = example_number_for_type(region, kind)
    if example is None:
        raise ValueError(f"{region}: has no example of a number")
    while True:
        digits = str(example.national_number)[:-4] + _digits(rng, length=4)
        number = PhoneNumber(example.country_code, int(digits))
        if is_valid_number(number):
            return str(format_number(number, form))


def _luhn(body: str) -> str:
    """The digits with their check digit, as ISO/IEC 7812 has it."""
    doubled = [int(digit) * (2 - place % 2) for place, digit in enumerate(reversed(body))]
    return body + str(-sum(number // 10 + number % 10 for number in doubled) % 10)


def _card(rng: np.random.Generator, between: str) -> str:
    begin = str(rng.choice(["4", "51", "55", "6011", "37"]))
    length = 15 if begin == "37" else 16
    digits = _luhn(begin + _digits(rng, length=length - 1 - len(begin)))
    cuts = [0, 4, 10, 15] if length == 15 else [0, 4, 8, 12, 16]
    return between.join(digits[a:b] for a, b in pairwise(cuts))


def _iban(rng: np.random.Generator, between: str) -> str:
    """An account number with its check digits, as ISO 13616 has them."""
    country = str(rng.choice(list(_IBANS)))
    letters = _pick(rng, string.ascii_uppercase, 4)
    account = {"GB": 14, "NL": 10}.get(country, _IBANS[country])
    body = (letters if not _IBANS[country] else "") + _digits(rng, length=account)
    numbers = "".join(str(int(one, 36)) for one in f"{body}{country}00")
    whole = f"{country}{98 - int(numbers) % 97:02}{body}"
    return between.join(whole[at : at + 4] for at in range(0, len(whole), 4))


def _ip4(rng: np.random.Generator) -> str:
    return ".".join(str(rng.integers(1, 255)) for _ in range(4))


def _ip6(rng: np.random.Generator, groups: int) -> str:
    tail = ":".join(_hex(rng, length=4) for _ in range(groups))
    return tail if groups == 8 else f"2001:db8::{tail}"


def _mac(rng: np.random.Generator, between: str) -> str:
    return between.join(_hex(rng, length=2) for _ in range(6))


def _path(rng: np.random.Generator) -> str:
    return f"{_host(rng)}/{_word(rng)}/{_word(rng)}?id={_digits(rng, length=4)}"


FORMS: dict[tuple[str, str], Make] = {
    ("EMAIL_ADDRESS", "usual"): _mail,
    ("EMAIL_ADDRESS", "with a tag, in capitals"): lambda rng: (
        _mail(rng).replace("@", "+x@").upper()
    ),
    ("EMAIL_ADDRESS", "of a private domain"): lambda rng: f"{_word(rng)}@{_host(rng, ['corp'])}",
    ("EMAIL_ADDRESS", "spoken, a at b dot c"): _spoken,
    **{
        ("PHONE_NUMBER", name): partial(_phone, form=form, regions=regions)
        for name, form, regions in (
            ("+digits", PhoneNumberFormat.E164, KNOWN_REGIONS + OTHER_REGIONS),
            (
                "international",
                PhoneNumberFormat.INTERNATIONAL,
                KNOWN_REGIONS + OTHER_REGIONS,
            ),
            ("national", PhoneNumberFormat.NATIONAL, KNOWN_REGIONS),
            ("national, of other countries", PhoneNumberFormat.NATIONAL, OTHER_REGIONS),
        )
    },
    ("CREDIT_CARD", "digits"): partial(_card, between=""),
    ("CREDIT_CARD", "with spaces"): partial(_card, between=" "),
    ("CREDIT_CARD", "with hyphens"): partial(_card, between="-"),
    ("IBAN_CODE", "digits"): partial(_iban, between=""),
    ("IBAN_CODE", "with spaces"): partial(_iban, between=" "),
    ("IBAN_CODE", "in small letters"): lambda rng: _iban(rng, "").lower(),
    ("IP_ADDRESS", "version 4"): _ip4,
    ("IP_ADDRESS", "version 6"): partial(_ip6, groups=8),
    ("IP_ADDRESS", "version 6, short"): partial(_ip6, groups=2),
    ("MAC_ADDRESS", "with colons"): partial(_mac, between=":"),
    ("MAC_ADDRESS", "with hyphens"): partial(_mac, between="-"),
    ("URL", "with https"): lambda rng: f"https://{_path(rng)}",
    ("URL", "with www"): lambda rng: f"www.{_host(rng)}",
    ("URL", "a path without https"): _path,
    ("URL", "a domain alone"): _host,
    ("PERSON", "a name"): lambda rng: str(rng.choice(NAMES)),
}
"""How values are made, by kind and form."""
