"""One live token per account, 24 hours, also over a restart."""

from __future__ import annotations

import base64
import json

import pytest

from brokers.clock import ManualClock
from brokers.sim.dhan.tokens import Tokens, Verdict
from tests.brokers.sim.dhan.world import NOON


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


def verdict(tokens: Tokens, text: str) -> Verdict:
    return tokens.judge(text)[0]


def test_a_token_is_a_jwt_with_the_brokers_claims(clock: ManualClock) -> None:
    token, expires_at = Tokens(clock, 1).make("1100000001")
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert token.startswith("eyJ")
    assert claims["dhanClientId"] == "1100000001"
    assert claims["tokenConsumerType"] == "APP"
    assert claims["exp"] - claims["iat"] == 86_400
    assert claims["exp"] == int(expires_at.timestamp())


def test_a_new_token_kills_the_old_one_at_once(clock: ManualClock) -> None:
    tokens = Tokens(clock, 1)
    old, _ = tokens.make("1100000001")
    new, _ = tokens.make("1100000001")  # within the same instant
    assert verdict(tokens, old) is Verdict.REPLACED
    assert verdict(tokens, new) is Verdict.LIVE


def test_another_accounts_token_stays_alive(clock: ManualClock) -> None:
    tokens = Tokens(clock, 1)
    first, _ = tokens.make("1100000001")
    tokens.make("1100000002")
    assert verdict(tokens, first) is Verdict.LIVE


def test_a_token_dies_after_24_hours(clock: ManualClock) -> None:
    tokens = Tokens(clock, 1)
    token, _ = tokens.make("1100000001")
    clock.advance(24 * 3600 - 1)
    assert verdict(tokens, token) is Verdict.LIVE
    clock.advance(1)
    assert verdict(tokens, token) is Verdict.EXPIRED


def test_expiring_ends_what_exists_and_not_what_comes(clock: ManualClock) -> None:
    tokens = Tokens(clock, 1)
    old, _ = tokens.make("1100000001")
    tokens.expire("1100000001")
    new, _ = tokens.make("1100000001")
    assert verdict(tokens, old) is Verdict.EXPIRED
    assert verdict(tokens, new) is Verdict.LIVE


def test_a_token_outlives_a_restart_with_the_same_seed(clock: ManualClock) -> None:
    token, _ = Tokens(clock, 1).make("1100000001")
    assert verdict(Tokens(clock, 1), token) is Verdict.LIVE
    assert verdict(Tokens(clock, 2), token) is Verdict.GARBAGE


def test_after_a_restart_the_newest_token_seen_kills_the_older_ones(clock: ManualClock) -> None:
    before = Tokens(clock, 1)
    old, _ = before.make("1100000001")
    new, _ = before.make("1100000001")
    after = Tokens(clock, 1)
    assert verdict(after, new) is Verdict.LIVE
    assert verdict(after, old) is Verdict.REPLACED


@pytest.mark.parametrize("text", ["", "eyJ", "a.b.c", "eyJhbGciOiJIUzI1NiJ9.e30.x", "é.é.é"])
def test_garbage_is_garbage(clock: ManualClock, text: str) -> None:
    assert Tokens(clock, 1).judge(text) == (Verdict.GARBAGE, None)
