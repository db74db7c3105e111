"""Malformed requests, drawn from a seed: what a broken or a hostile client may send."""

import copy
import gzip
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from eval.benchmarks.serving_client import Header

VALID: dict[tuple[str, str], dict[str, Any]] = {
    ("post", "/v1/recommendations"): {
        "history": ["i1", "i2"], "k": 3, "block": ["i3"], "exclude_seen": True, "where": None,
        "max_per": {"column": "title", "most": 2}, "temperature": 0.5, "seed": 1,
    },
    ("post", "/v1/recommendations/mixed"): {
        "quota": {"none": 3, "more": 2}, "histories": {"none": ["i1", "i2"]}, "exclude_seen": True,
        "deadline_ms": 5000,
    },
    ("post", "/v1/chat/completions"): {
        "model": "random", "messages": [{"role": "user", "content": "a film"}], "history": ["i1"],
        "stream": True, "stream_options": {"include_usage": True}, "k": 2,
    },
    ("post", "/v1/replies"): {
        "messages": [
            {"role": "assistant", "content": "Try these.", "items": ["i1", "i2"]},
            {"role": "user", "content": "not the second one"},
        ],
        "history": ["i3"], "items": 2, "max_tokens": 8, "ignore": ["cheaper"], "seed": 1,
    },
    ("post", "/v1/events"): {"user": "u", "item": "i1", "kind": "click", "session": "s"},
    ("put", "/v1/items"): {
        "items": [{"id": "hostile", "title": "A hostile film", "fields": {"year": 1999}}]
    },
}  # fmt: skip
"""A request that is right for each operation that takes a body."""
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1.5, 2**31, 2**63, -(2**63) - 1, 10**400, 1e308, -0.0, "", " ", "a" * 5000,
    "\x00", "\ud800", "\u202e", "i1", "NaN", "__import__('os')", "' OR 1=1 --", "../" * 50, [], {},
    [[]], [None], ["i1"] * 10_001, {"": {}}, {"__proto__": 1}, {str(n): n for n in range(300)},
)  # fmt: skip
NUMBERS = (
    b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b"1e-400", b"0x10", b"01", b"+1", b".5",
    b"1e", b"--1", b"9" * 5000, b"0." + b"3" * 5000, b"tru", b"undefined", b"'a'", b"/**/1",
)  # fmt: skip
BAD_UTF8 = (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\x80")
CODECS = ("utf-16", "utf-16-be", "utf-32", "utf-7", "utf-8-sig", "cp037")
TYPES = (
    b"", b"text/plain", b"application/xml", b"application/x-www-form-urlencoded",
    b"multipart/form-data", b"multipart/form-data; boundary=x", b"application/json; charset=utf-7",
    b"application/json, text/plain", b"*/*", b"\xff\xfe", b"a" * 5000,
)  # fmt: skip
LENGTHS = (b"-1", b"+5", b"abc", b"1" * 30, b"0x5", b"5, 5", b"1_0", b"")
MARK = '"@"'


@dataclass(frozen=True)
class Malformed:
    """A request that is not what the description asks for.

    Attributes:
        kind: What is wrong with it.
        body: The body.
        headers: Headers beside those of every request.
        framing: The header that says where the body ends; None for the right one.
        cut: Whether the client leaves behind the body.
    """

    kind: str
    body: bytes
    headers: tuple[Header, ...] = ()
    framing: Header | None = None
    cut: bool = False


def malformed(valid: dict[str, Any], seed: str) -> Malformed:
    """A request that is like a valid one; the same for the same seed."""
    rng = random.Random(seed)  # noqa: S311
    return rng.choice(_KINDS)(valid, rng)


def _replaced(valid: dict[str, Any], value: Any, rng: random.Random) -> Any:
    """The same with one of its values, at any depth, replaced; or the value alone."""
    whole = {"": copy.deepcopy(valid)}
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        keys = node if isinstance(node, dict) else range(len(node))
        for key in keys:
            places.append((node, key))
            if isinstance(node[key], dict | list):
                walk(node[key])

    walk(whole)
    node, key = rng.choice(places)
    node[key] = value
    return whole[""]


def _value(valid: dict[str, Any], rng: random.Random) -> Malformed:
    body = _replaced(valid, rng.choice(VALUES), rng)
    return Malformed("value", json.dumps(body).encode())


def _number(valid: dict[str, Any], rng: random.Random) -> Malformed:
    text = json.dumps(_replaced(valid, "@", rng)).encode()
    return Malformed("number", text.replace(MARK.encode(), rng.choice(NUMBERS)))


def _field(valid: dict[str, Any], rng: random.Random) -> Malformed:
    body = copy.deepcopy(valid)
    if rng.random() < 0.5:
        del body[rng.choice(list(body))]
    body[rng.choice(("", "x", "K", "__class__", "items", "user", "a" * 3000))] = rng.choice(VALUES)
    return Malformed("field", json.dumps(body).encode())


def _deep(valid: dict[str, Any], rng: random.Random) -> Malformed:
    opening, closing = rng.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")))
    times = rng.choice((15, 17, 500, 50_000))
    deep = opening * times + b"1" + closing * (times if rng.random() < 0.8 else 0)
    text = json.dumps(_replaced(valid, "@", rng)).encode()
    return Malformed("deep", text.replace(MARK.encode(), deep))


def _twice(valid: dict[str, Any], rng: random.Random) -> Malformed:
    text = json.dumps(valid)
    other = json.dumps(_replaced(valid, rng.choice(VALUES), rng))
    joined = rng.choice((text[:-1] + "," + other[1:], text + other, f"[{text},{other}]"))
    return Malformed("twice", joined.encode())


def _ended(valid: dict[str, Any], rng: random.Random) -> Malformed:
    text = json.dumps(valid).encode()
    return Malformed("ended", text[: rng.randrange(len(text))])


def _flipped(valid: dict[str, Any], rng: random.Random) -> Malformed:
    text = bytearray(json.dumps(valid).encode())
    for _ in range(rng.randint(1, 4)):
        text[rng.randrange(len(text))] = rng.randrange(256)
    return Malformed("flipped", bytes(text))


def _noise(_: dict[str, Any], rng: random.Random) -> Malformed:
    return Malformed("noise", rng.randbytes(rng.choice((0, 1, 10, 1000, 100_000))))


def _utf8(valid: dict[str, Any], rng: random.Random) -> Malformed:
    text = json.dumps(_replaced(valid, "@", rng)).encode()
    return Malformed("utf8", text.replace(b"@", b"a" + rng.choice(BAD_UTF8) + b"b"))


def _codec(valid: dict[str, Any], rng: random.Random) -> Malformed:
    return Malformed("codec", json.dumps(valid).encode(rng.choice(CODECS)))


def _type(valid: dict[str, Any], rng: random.Random) -> Malformed:
    headers = ((b"Content-Type", rng.choice(TYPES)),)
    return Malformed("type", json.dumps(valid).encode(), headers)


def _compressed(valid: dict[str, Any], rng: random.Random) -> Malformed:
    text = json.dumps(valid).encode()
    coding = rng.choice((b"gzip", b"br", b"deflate", b"identity, gzip"))
    body = rng.choice((text, gzip.compress(text, mtime=0), gzip.compress(b" " * 2**20, mtime=0)))
    return Malformed("compressed", body, ((b"Content-Encoding", coding),))


def _large(valid: dict[str, Any], rng: random.Random) -> Malformed:
    return Malformed("large", json.dumps(valid).encode() + b" " * rng.choice((2**20, 2**21)))


def _length(valid: dict[str, Any], rng: random.Random) -> Malformed:
    framing = (b"Content-Length", rng.choice(LENGTHS))
    return Malformed("length", json.dumps(valid).encode(), framing=framing, cut=True)


def _cut(valid: dict[str, Any], rng: random.Random) -> Malformed:
    text = json.dumps(valid).encode()
    framing = (b"Content-Length", b"%d" % (len(text) + rng.choice((1, 100, 10**6))))
    return Malformed("cut", text, framing=framing, cut=True)


def _chunks(valid: dict[str, Any], rng: random.Random) -> Malformed:
    text = json.dumps(valid).encode()
    size = rng.choice((b"%x" % len(text), b"-5", b"zz", b"f" * 20, b"%x" % (len(text) + 7)))
    body = size + b"\r\n" + text + b"\r\n" + rng.choice((b"0\r\n\r\n", b"", b"0\r\nX: y"))
    framing = (b"Transfer-Encoding", rng.choice((b"chunked", b"chunked, chunked", b"gzip")))
    return Malformed("chunks", body, framing=framing, cut=True)


_KINDS: tuple[Callable[[dict[str, Any], random.Random], Malformed], ...] = (
    _value, _value, _value, _number, _number, _field, _field, _deep, _twice, _ended, _flipped,
    _noise, _utf8, _codec, _type, _compressed, _large, _length, _cut, _chunks,
)  # fmt: skip
"""Each as often as it stands here."""
