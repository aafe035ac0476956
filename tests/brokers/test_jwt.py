"""Reading tokens nobody has to trust."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from datetime import UTC, datetime

import pytest

from brokers import jwt


def token(claims: object) -> str:
    return f"head.{urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.sign"


def test_claims_and_the_end_of_a_token() -> None:
    whole = token({"exp": 1_800_000_000, "scope": ["Trade"]})
    assert jwt.claims(whole)["scope"] == ["Trade"]
    assert jwt.expiry(whole) == datetime.fromtimestamp(1_800_000_000, UTC)
    assert jwt.expiry(token({"exp": 1_800_000_000.5})) == datetime.fromtimestamp(1_800_000_000, UTC)


@pytest.mark.parametrize("text", ["", "abc", "a.b", "a.!!.c", "a.e30", token([1]), token("x")])
def test_what_is_no_token_says_nothing(text: str) -> None:
    assert jwt.claims(text) == {}
    assert jwt.expiry(text) is None


@pytest.mark.parametrize("exp", [0, None, "soon", [], 10**30, "x" * 50])
def test_an_end_that_cannot_be_read_is_none(exp: object) -> None:
    assert jwt.expiry(token({"exp": exp})) is None
