"""Credentials -> session over real sockets, and no secret in any message."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest

from brokers.clock import ManualClock
from brokers.contract import BrokerContext, BrokerSession
from brokers.dhan.auth import DhanAuth
from brokers.errors import BrokerDown, BrokerError, LoginRequired, RateLimited, SettingsError
from brokers.jwt import claims
from brokers.secret import Secret
from brokers.transport import Transport
from tests.brokers.dhan.rows import table
from tests.brokers.dhan.server import State, hang, reply

AT = datetime(2026, 9, 18, 6, 30, tzinfo=UTC)
ID, PIN, SEED = "1000000001", "874123", "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
CODE = pyotp.TOTP(SEED).at(int(AT.timestamp()))
PROFILE = {"dhanClientId": ID, "tokenValidity": "19/09/2026 11:00", "activeSegment": "E, D, C, M, "}


def jwt(hours: float = 20, consumer: str = "APP", mark: str = "x", **more: Any) -> str:
    """An unsigned token with Dhan's claims."""
    body = {"iss": "dhan", "exp": int((AT + timedelta(hours=hours)).timestamp()), "mark": mark, **more}
    body |= {"tokenConsumerType": consumer, "dhanClientId": ID}
    parts = [
        base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in ({"alg": "x"}, body)
    ]
    return ".".join([*parts, "sig"])


def auth(server: State, **credentials: str) -> DhanAuth:
    known = {name: Secret(value) for name, value in ({"DHAN_CLIENT_ID": ID} | credentials).items() if value}
    context = BrokerContext(
        known, {"rest": f"{server.url}/v2", "auth": server.url}, {}, ManualClock(AT), table()
    )
    return DhanAuth(context, Transport(connect_timeout_s=1.0, read_timeout_s=0.4, read_retries=0))


def made(token: str, **change: Any) -> dict[str, Any]:
    return {"dhanClientId": ID, "accessToken": token, "expiryTime": "2026-09-19T12:00:00.000"} | change


def session(token: str) -> BrokerSession:
    consumer = str(claims(token).get("tokenConsumerType", ""))
    return BrokerSession(
        "dhan", ID, {"token": Secret(token)}, {"consumer": consumer}, AT, AT + timedelta(hours=1), 3
    )


def paths(server: State) -> list[str]:
    return [f"{c.method} {c.path.split('?')[0]}" for c in server.calls]


def test_a_given_token_is_checked_and_lives_as_long_as_it_says(server: State) -> None:
    token = jwt(hours=20, consumer="SELF")
    server.on("GET", "/v2/profile", reply(200, PROFILE))
    found = auth(server, DHAN_ACCESS_TOKEN=token).login()
    assert (found.account, found.secrets["token"].reveal()) == (ID, token)
    assert found.expires_at == AT + timedelta(hours=20)
    assert found.attributes["consumer"] == "SELF"
    assert server.last().headers["access-token"] == token


def test_a_token_that_says_nothing_lives_as_long_as_the_profile_says(server: State) -> None:
    server.on("GET", "/v2/profile", reply(200, PROFILE))
    assert auth(server, DHAN_ACCESS_TOKEN="opaque").login().expires_at == datetime(
        2026, 9, 19, 5, 30, tzinfo=UTC
    )


def test_an_expired_token_is_refused_without_asking(server: State) -> None:
    with pytest.raises(LoginRequired, match="expired at 2026-09-18 05:30 UTC"):
        auth(server, DHAN_ACCESS_TOKEN=jwt(hours=-1)).login()
    assert server.calls == []


@pytest.mark.parametrize(
    "answer",
    [
        reply(401, {"errorType": "Invalid_Authentication", "errorCode": "DH-901", "errorMessage": "expired"}),
        reply(400, {"errorType": "Order_Error", "errorCode": "DH-906", "errorMessage": "Invalid Token"}),
        reply(200, PROFILE | {"dhanClientId": "1000000002"}),
    ],
)
def test_a_token_the_broker_does_not_take(server: State, answer: Any) -> None:
    server.on("GET", "/v2/profile", answer)
    with pytest.raises(LoginRequired):
        auth(server, DHAN_ACCESS_TOKEN=jwt()).login()


def test_pin_and_totp_make_a_token_once(server: State) -> None:
    token = jwt(hours=24)
    server.on("POST", "/app/generateAccessToken", reply(200, made(token)))
    found = auth(server, DHAN_PIN=PIN, DHAN_TOTP_SECRET=SEED).login()
    assert found.secrets["token"].reveal() == token
    assert (found.issued_at, found.expires_at) == (AT, AT + timedelta(hours=24))
    query = parse_qs(urlsplit(server.last().path).query)
    assert query == {"dhanClientId": [ID], "pin": [PIN], "totp": [CODE]}
    assert paths(server) == ["POST /app/generateAccessToken"]


def test_a_typed_code_is_used_and_makes_a_new_token_even_beside_a_given_one(server: State) -> None:
    server.on("POST", "/app/generateAccessToken", reply(200, made("opaque")))
    found = auth(server, DHAN_PIN=PIN, DHAN_ACCESS_TOKEN=jwt()).login(totp="123456")
    assert parse_qs(urlsplit(server.last().path).query)["totp"] == ["123456"]
    # no exp in the token: expiryTime is IST
    assert found.expires_at == datetime(2026, 9, 19, 6, 30, tzinfo=UTC)


def test_a_dead_given_token_falls_back_to_pin_and_totp(server: State) -> None:
    server.on("POST", "/app/generateAccessToken", reply(200, made(jwt(mark="new"))))
    found = auth(server, DHAN_ACCESS_TOKEN=jwt(hours=-1), DHAN_PIN=PIN, DHAN_TOTP_SECRET=SEED).login()
    assert found.secrets["token"].reveal() == jwt(mark="new")


def test_openalgos_packing_is_a_client_id_and_a_token(server: State) -> None:
    server.on("GET", "/v2/profile", reply(200, PROFILE))
    found = auth(server, DHAN_CLIENT_ID="", BROKER_API_KEY=f"{ID}:::appkey", BROKER_API_SECRET=jwt()).login()
    assert (found.account, found.secrets["token"].reveal()) == (ID, jwt())


@pytest.mark.parametrize(
    ("credentials", "message"),
    [
        ({}, "no way to log in"),
        ({"DHAN_PIN": PIN}, "no way to log in"),
        ({"BROKER_API_SECRET": "an-app-secret"}, "no way to log in"),
        ({"DHAN_CLIENT_ID": "", "DHAN_PIN": PIN, "DHAN_TOTP_SECRET": SEED}, "DHAN_CLIENT_ID is not set"),
        ({"DHAN_PIN": PIN, "DHAN_TOTP_SECRET": "no seed!"}, "not a base32 seed"),
    ],
)
def test_missing_or_wrong_credentials_say_which(
    server: State, credentials: dict[str, str], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        auth(server, **credentials).login()
    assert server.calls == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (reply(200, {"status": "error", "message": f"Invalid Pin {PIN}"}), LoginRequired),
        (reply(400, {"errorCode": "DH-905", "errorMessage": f"bad totp for {PIN}"}), LoginRequired),
        (reply(401, b""), LoginRequired),
        (reply(429, b""), RateLimited),
        (reply(500, b""), BrokerDown),
        (hang, BrokerDown),
    ],
)
def test_a_refused_login_has_its_class_and_shows_no_secret(
    server: State, answer: Any, kind: type[BrokerError]
) -> None:
    server.on("POST", "/app/generateAccessToken", answer)
    with pytest.raises(BrokerError) as caught:
        auth(server, DHAN_PIN=PIN, DHAN_TOTP_SECRET=SEED).login()
    assert type(caught.value) is kind
    shown = str(caught.value) + str(caught.value.__cause__)
    assert not any(secret in shown for secret in (PIN, SEED, CODE))
    assert len(server.calls) == 1


def test_a_web_token_is_renewed_by_a_get(server: State) -> None:
    old, new = jwt(hours=1, consumer="SELF"), jwt(hours=24, consumer="SELF")
    server.on("GET", "/v2/RenewToken", reply(200, {"accessToken": new, "expiryTime": "x"}))
    found = auth(server, DHAN_ACCESS_TOKEN=old).renew(session(old))
    assert found.secrets["token"].reveal() == new
    assert found.expires_at == AT + timedelta(hours=24)
    assert (server.last().headers["access-token"], server.last().headers["dhanclientid"]) == (old, ID)


@pytest.mark.parametrize("body", [{"token": "t1"}, {"data": {"accessToken": "t1"}}])
def test_other_shapes_of_a_renewal(server: State, body: object) -> None:
    old = jwt(consumer="SELF")
    server.on("GET", "/v2/RenewToken", reply(200, body))
    found = auth(server, DHAN_ACCESS_TOKEN=old).renew(session(old))
    assert (found.secrets["token"].reveal(), found.expires_at) == ("t1", AT + timedelta(hours=24))


def test_a_failed_renewal_falls_back_to_pin_and_totp(server: State) -> None:
    server.on("GET", "/v2/RenewToken", reply(400, {"errorCode": "DH-905", "errorMessage": "no"}))
    server.on("POST", "/app/generateAccessToken", reply(200, made(jwt(mark="new"))))
    found = auth(server, DHAN_PIN=PIN, DHAN_TOTP_SECRET=SEED).renew(session(jwt(consumer="SELF")))
    assert found.secrets["token"].reveal() == jwt(mark="new")
    assert paths(server) == ["GET /v2/RenewToken", "POST /app/generateAccessToken"]


def test_a_token_made_by_totp_is_not_renewed_but_made_again(server: State) -> None:
    server.on("POST", "/app/generateAccessToken", reply(200, made(jwt(mark="new"))))
    auth(server, DHAN_PIN=PIN, DHAN_TOTP_SECRET=SEED).renew(session(jwt(consumer="APP")))
    assert paths(server) == ["POST /app/generateAccessToken"]


def test_a_failed_renewal_without_another_way_needs_a_person(server: State) -> None:
    old = jwt(consumer="SELF")
    server.on("GET", "/v2/RenewToken", reply(401, {"errorCode": "DH-901", "errorMessage": "expired"}))
    with pytest.raises(LoginRequired):
        auth(server, DHAN_ACCESS_TOKEN=old).renew(session(old))


def test_a_token_the_person_put_in_meanwhile_is_taken(server: State) -> None:
    server.on("GET", "/v2/profile", reply(200, PROFILE))
    found = auth(server, DHAN_ACCESS_TOKEN=jwt(mark="by hand")).renew(session(jwt(consumer="SELF")))
    assert found.secrets["token"].reveal() == jwt(mark="by hand")
    assert paths(server) == ["GET /v2/profile"]


def test_a_broker_that_is_down_is_not_a_refused_login(server: State) -> None:
    server.on("GET", "/v2/RenewToken", hang)
    with pytest.raises(BrokerDown):
        auth(server, DHAN_PIN=PIN, DHAN_TOTP_SECRET=SEED).renew(session(jwt(consumer="SELF")))
    assert paths(server) == ["GET /v2/RenewToken"]
