"""Logins and tokens of the simulated Kotak."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pyotp
import pytest

from brokers.clock import IST, ManualClock
from brokers.sim.kotak import sessions
from brokers.sim.kotak.sessions import Reason, Scope, Sessions, TokenRefused
from brokers.sim.settings import TOTP_SECRET

MORNING = datetime(2026, 11, 20, 9, 0, tzinfo=IST)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(MORNING)


def claims(token: str) -> dict[str, object]:
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def reason(store: Sessions, token: str, sid: str) -> Reason:
    with pytest.raises(TokenRefused) as caught:
        store.check(token, sid)
    return caught.value.reason


@pytest.mark.parametrize("hour", [0, 9, 23])
def test_a_token_is_jwt_shaped_and_ends_at_the_next_indian_midnight(hour):
    at = datetime(2026, 11, 20, hour, 30, tzinfo=IST)
    grant = Sessions(ManualClock(at)).open("ABCDE", Scope.TRADE)
    assert len(grant.token.split(".")) == 3
    body = claims(grant.token)
    assert body["exp"] == int(datetime(2026, 11, 21, tzinfo=IST).timestamp())
    assert (body["scope"], body["ucc"], body["iss"]) == (["Trade"], "ABCDE", "login-service")


def test_view_and_trade_pairs_differ_and_do_not_mix(clock):
    store = Sessions(clock)
    view, trade = store.open("ABCDE", Scope.VIEW), store.open("ABCDE", Scope.TRADE)
    assert view.token != trade.token
    assert view.sid != trade.sid
    assert store.check(trade.token, trade.sid).account == "ABCDE"
    assert reason(store, view.token, view.sid) is Reason.VIEW_ONLY
    assert store.check(view.token, view.sid, trade=False).scope is Scope.VIEW
    assert reason(store, trade.token, view.sid) is Reason.UNKNOWN
    assert reason(store, view.token, trade.sid) is Reason.UNKNOWN


@pytest.mark.parametrize("spoil", ["", "x", "a.b.c", "é.b.c"])
def test_a_made_up_token_is_unknown(clock, spoil):
    store = Sessions(clock)
    assert reason(store, spoil, store.open("ABCDE", Scope.TRADE).sid) is Reason.UNKNOWN


def test_a_changed_claim_breaks_the_signature(clock):
    store = Sessions(clock)
    grant = store.open("ABCDE", Scope.TRADE)
    head, _, signature = grant.token.split(".")
    forged = json.dumps(claims(grant.token) | {"ucc": "OTHER"}).encode()
    payload = base64.urlsafe_b64encode(forged).rstrip(b"=").decode()
    assert reason(store, f"{head}.{payload}.{signature}", grant.sid) is Reason.UNKNOWN


def test_a_session_dies_at_midnight_and_not_before(clock):
    store = Sessions(clock)
    grant = store.open("ABCDE", Scope.TRADE)
    clock.set(datetime(2026, 11, 20, 23, 59, 59, tzinfo=IST))
    assert store.check(grant.token, grant.sid) == grant
    assert store.alive(grant)
    clock.set(datetime(2026, 11, 21, tzinfo=IST))
    assert reason(store, grant.token, grant.sid) is Reason.EXPIRED
    assert not store.alive(grant)
    assert not store.sid_is_good("ABCDE", grant.sid)


def test_tokens_survive_a_restart(clock):
    grant = Sessions(clock).open("ABCDE", Scope.TRADE)
    restarted = Sessions(clock)
    assert restarted.sid_is_good("ABCDE", grant.sid)
    assert restarted.check(grant.token, grant.sid).account == "ABCDE"


def test_a_third_session_ends_the_oldest(clock):
    store = Sessions(clock)
    grants = []
    for _ in range(3):
        grants.append(store.open("ABCDE", Scope.TRADE))
        clock.advance(1)
    assert reason(store, grants[0].token, grants[0].sid) is Reason.EXPIRED
    assert [store.check(g.token, g.sid) for g in grants[1:]] == grants[1:]
    other = store.open("OTHER", Scope.TRADE)
    assert store.check(other.token, other.sid) == other


def test_ending_an_account_kills_its_tokens_but_not_the_next_login(clock):
    store = Sessions(clock)
    view, trade = store.open("ABCDE", Scope.VIEW), store.open("ABCDE", Scope.TRADE)
    other = store.open("OTHER", Scope.TRADE)
    store.end("ABCDE")
    assert reason(store, trade.token, trade.sid) is Reason.EXPIRED
    assert not store.alive(view)
    assert not store.sid_is_good("ABCDE", trade.sid)
    assert store.alive(other)
    fresh = store.open("ABCDE", Scope.TRADE)  # within the same second
    assert store.check(fresh.token, fresh.sid) == fresh
    assert store.sid_is_good("ABCDE", fresh.sid)


def test_a_login_in_the_second_of_the_end_works(clock):
    store = Sessions(clock)
    before = store.open("ABCDE", Scope.VIEW)
    store.end("ABCDE")
    after = store.open("ABCDE", Scope.VIEW)
    assert reason(store, before.token, before.sid) is Reason.EXPIRED
    assert store.check(after.token, after.sid, trade=False).account == "ABCDE"


def test_logout_ends_one_session(clock):
    store = Sessions(clock)
    first, second = store.open("ABCDE", Scope.TRADE), store.open("ABCDE", Scope.TRADE)
    store.close(first)
    assert reason(store, first.token, first.sid) is Reason.EXPIRED
    assert store.check(second.token, second.sid) == second


def test_a_sid_counts_only_for_its_account_and_only_for_trading(clock):
    store = Sessions(clock)
    view, trade = store.open("ABCDE", Scope.VIEW), store.open("ABCDE", Scope.TRADE)
    assert store.sid_is_good("ABCDE", trade.sid)
    assert not store.sid_is_good("OTHER", trade.sid)
    assert not store.sid_is_good("ABCDE", view.sid)
    assert not store.sid_is_good("ABCDE", "11111111-2222-3333-4444-555555555555")
    assert not store.sid_is_good("ABCDE", "no uuid")


def test_only_the_public_constants_log_in():
    now = MORNING.astimezone(UTC)
    code = pyotp.TOTP(TOTP_SECRET).at(now)
    good = (sessions.MOBILE, "ABCDE", code)
    assert sessions.credentials_accepted(*good, now)
    assert sessions.credentials_accepted(*good, now + timedelta(seconds=30))
    assert not sessions.credentials_accepted(*good, now + timedelta(minutes=2))
    assert not sessions.credentials_accepted(sessions.MOBILE.removeprefix("+91"), "ABCDE", code, now)
    assert not sessions.credentials_accepted(sessions.MOBILE, "abc", code, now)
    assert not sessions.credentials_accepted(sessions.MOBILE, "ABCDE", "000000", now)
    assert sessions.mpin_accepted("112233")
    assert not sessions.mpin_accepted("112234")
