"""Ways of getting in without a key that holds."""

import base64
from dataclasses import dataclass
from urllib.parse import quote

from eval.benchmarks.serving_client import ASK, Header

PATHS = (
    "//v1/models", "/V1/models", "/v1//models", "/healthz/../v1/models", "/v1/%6dodels",
    "/healthz%2f..%2fv1/models", "/v1/models/", "/v1/models;x=/healthz", "/metrics",
    "/healthz/", "/openapi.json/../v1/models", "/v1/models%00/healthz",
    "/page/../v1/models", "/page/%2e%2e/v1/models", "/page/page.js/../../v1/models",
)  # fmt: skip
"""Paths that might lead around the keys."""


@dataclass(frozen=True)
class Keys:
    """What somebody may know who has no key that holds.

    Attributes:
        secret: A key that holds, which is given wrongly.
        id: The part of it that is no secret.
        sha256: Its hash, as the file of keys has it.
        revoked: A key that was taken back.
        expired: A key whose time is over.
    """

    secret: str
    id: str
    sha256: str
    revoked: str
    expired: str


@dataclass(frozen=True)
class Attempt:
    """A request for recommendations that looks as if it had a key.

    Attributes:
        headers: Its headers.
        target: Its path, with a query.
    """

    headers: tuple[Header, ...] = ()
    target: str = ASK


def attempts(keys: Keys) -> list[Attempt]:
    """Requests that must not be let in."""
    secret, random = keys.secret, keys.secret.rpartition("_")[2]
    bearer = [
        "", " ", secret[:-1], secret + "A", secret.upper(), secret.swapcase(), f" {secret}",
        f'"{secret}"', keys.id, f"rg_{keys.id}_", f"rg_{keys.id}_{'A' * 43}", keys.sha256,
        f"rg_{keys.id}_{keys.sha256}", f"rg__{random}", f"rg_{'0' * 12}_{random}", random,
        keys.revoked, keys.expired, "null", "' OR 1=1 --", "*", "../keys.json", "a" * 8000,
        f"{secret}\x00",
    ]  # fmt: skip
    basic = base64.b64encode(f"user:{secret}".encode()).decode()
    headers: list[list[tuple[str, str]]] = [
        *([("Authorization", f"Bearer {given}")] for given in bearer),
        [],
        [("Authorization", secret)],
        [("Authorization", f"Basic {secret}")],
        [("Authorization", f"Basic {basic}")],
        [("Authorization", f"Token {secret}")],
        [("Authorization", "Bearer")],
        [("Authorization", f"Bearer {secret}"), ("Authorization", "Bearer x")],
        [("Cookie", f"Authorization=Bearer {secret}; key={secret}")],
        [("X-API-Key", secret)],
        [("Proxy-Authorization", f"Bearer {secret}")],
        [("X-Forwarded-For", "127.0.0.1"), ("X-Real-IP", "127.0.0.1"), ("Host", "localhost")],
        [("X-Original-URL", "/healthz"), ("X-Rewrite-URL", "/healthz")],
    ]
    query = f"key={secret}&access_token={secret}&Authorization={quote(f'Bearer {secret}')}"
    return [
        *(Attempt(tuple((n.encode(), v.encode()) for n, v in given)) for given in headers),
        Attempt(target=f"{ASK}?{query}"),
    ]
