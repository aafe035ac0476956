"""Logins against an HTTP server on loopback."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from brokers import totp
from brokers.clock import ManualClock
from brokers.contract import BrokerContext
from brokers.errors import BrokerDown, BrokerError, LoginRequired, RateLimited, SettingsError
from brokers.kotak.auth import KotakAuth, expiry_of, is_sound, normal_mobile
from brokers.secret import Secret
from brokers.transport import Transport
from tests.brokers.kotak.conftest import NOW
from tests.brokers.kotak.server import CREDENTIALS, Answer, Server, says

Make = Callable[..., BrokerContext]
MIDNIGHT = datetime(2026, 11, 20, 18, 30, tzinfo=UTC)
WRONG = {"status": "error", "message": "Invalid credentials or TOTP.", "errorCode": "401"}
CURRENT = ("/login/1.0/tradeApiLogin", "/login/1.0/tradeApiValidate")
APIM = ("/apim/login/2.0/login/v6/totp/login", "/apim/login/2.0/login/v6/totp/validate")


def jwt(**claims: Any) -> str:
    parts = ({"alg": "RS256"}, claims)
    return (
        ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts)
        + ".c2ln"
    )


VIEW = jwt(scope=["View"], exp=int(MIDNIGHT.timestamp()))
TRADE = jwt(scope=["Trade"], exp=int(MIDNIGHT.timestamp()))


def serve(server: Server, paths: tuple[str, str] = CURRENT, **trade: Any) -> None:
    server.on(paths[0], says({"data": {"token": VIEW, "sid": "view-sid", "kType": "View"}}))
    data = {
        "token": TRADE,
        "sid": "trade-sid",
        "baseUrl": server.url,
        "dataCenter": "E43",
        "hsServerId": "",
        "ucc": "ABC12",
        **trade,
    }
    server.on(paths[1], says({"data": data}))
    server.on("/5config/config", says({"data": {"configs": {}}}))


def auth(context: BrokerContext) -> KotakAuth:
    return KotakAuth(context, Transport(connect_timeout_s=1, read_timeout_s=2))


def test_totp_then_mpin_gives_a_trade_session(server: Server, context: Make) -> None:
    serve(server)
    session = auth(context()).login()
    first, second = server.asked(CURRENT[0])[0], server.asked(CURRENT[1])[0]
    assert json.loads(first.body) == {
        "mobileNumber": "+919876543210",
        "ucc": "ABC12",
        "totp": totp.code("JBSWY3DPEHPK3PXP", NOW),
    }
    assert (first.headers["authorization"], first.headers["neo-fin-key"]) == ("app-token", "neotradeapi")
    assert json.loads(second.body) == {"mpin": "123456"}
    assert (second.headers["sid"], second.headers["auth"]) == ("view-sid", VIEW)
    assert {name: secret.reveal() for name, secret in session.secrets.items()} == {
        "token": TRADE,
        "sid": "trade-sid",
        "access_token": "app-token",
    }
    assert (session.account, session.attributes["base_url"]) == ("ABC12", server.url)
    assert session.expires_at == MIDNIGHT


def test_a_typed_code_is_used_instead_of_the_seed(server: Server, context: Make) -> None:
    serve(server)
    auth(context()).login(totp="654321")
    assert json.loads(server.asked(CURRENT[0])[0].body)["totp"] == "654321"


def test_the_2_0_0_paths_ask_for_the_base_and_speak_bearer(server: Server, context: Make) -> None:
    serve(server, APIM, baseUrl="")
    server.on("/algo-user/v5/get-base-url", says({"data": {"baseURL": server.url}}))
    session = auth(context(KOTAK_PATHS="apim")).login()
    assert server.asked("/algo-user/v5/get-base-url")[0].query == {"id": ["ABC12"]}
    assert server.asked(APIM[0])[0].headers["authorization"] == "Bearer app-token"
    assert session.attributes["base_url"] == server.url


def test_without_a_base_lookup_the_login_host_serves(server: Server, context: Make) -> None:
    serve(server, APIM)
    assert auth(context(KOTAK_PATHS="apim")).login().attributes["base_url"] == server.url


@pytest.mark.parametrize(
    ("source", "feed", "attribute"),
    [("hs", "hsm", "hsm_url"), ("ks", "sfeed", "sfeed_url"), ("sh", "sfeed", "sfeed_url")],
)
def test_the_config_service_chooses_the_feed(
    server: Server, context: Make, source: str, feed: str, attribute: str
) -> None:
    serve(server)
    configs = {
        "E43_broadcast_source": source,
        f"E43_{source}_broadcast_endpoint": f"{server.url}/market",
        f"E43_{source}_interactive_endpoint": f"{server.url}/orders",
    }
    server.on("/5config/config", says({"data": {"configs": configs}}))
    attributes = auth(context()).login().attributes
    ws = server.url.replace("http", "ws")
    assert (attributes["feed"], attributes[attribute], attributes["orders_url"]) == (
        feed,
        f"{ws}/market",
        f"{ws}/orders",
    )
    assert server.asked("/5config/config")[0].query == {
        "appVersion": ["3.0.9"],
        "platform": ["api"],
        "environment": ["prod"],
    }


@pytest.mark.parametrize(
    "answer", [says({}, 500), Answer(200, b"<html>"), says({"data": None})], ids=range(3)
)
def test_a_broken_config_service_is_no_obstacle(server: Server, context: Make, answer: Answer) -> None:
    serve(server, rtUrl="", feedUrl=f"{server.url}/feed")
    server.on("/5config/config", answer)
    attributes = auth(context()).login().attributes
    ws = server.url.replace("http", "ws")
    assert (attributes["feed"], attributes["sfeed_url"]) == ("", f"{ws}/feed")
    assert attributes["orders_url"] == f"{ws}/realtime"


def test_an_address_elsewhere_is_not_followed_from_loopback(server: Server, context: Make) -> None:
    serve(server, baseUrl="https://e43.kotaksecurities.com")
    with pytest.raises(BrokerError, match="trading address"):
        auth(context()).login()


@pytest.mark.parametrize(
    ("url", "login", "sound"),
    [
        ("https://e43.kotaksecurities.com", "https://mis.kotaksecurities.com", True),
        ("http://e43.kotaksecurities.com", "https://mis.kotaksecurities.com", False),
        ("", "https://mis.kotaksecurities.com", False),
        ("http://127.0.0.1:9", "http://127.0.0.1:8", True),
        ("https://example.org", "http://127.0.0.1:8", False),
    ],
)
def test_sound_addresses(url: str, login: str, sound: bool) -> None:
    assert is_sound(url, login) is sound


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (says(WRONG, 401), LoginRequired, "Invalid"),
        (says(WRONG), LoginRequired, "Invalid"),
        (says({"error": [{"code": "400", "message": "Missing field 'Totp'"}]}, 400), LoginRequired, "Totp"),
        (says({"error": [{"code": "10512", "message": "No header."}]}, 400), LoginRequired, "header"),
        (Answer(403, b"<html>"), LoginRequired, "403"),
        (says({"code": 429, "message": "too many"}, 429, Retry_After="7"), RateLimited, "too many"),
        (says({"data": {}}), BrokerDown, "without a token"),
        (Answer(200, b"<html>"), BrokerDown, "without a token"),
        (says({"message": "x"}, 500), BrokerDown, "500"),
        (Answer(raw=b""), BrokerDown, "no whole answer"),
    ],
    ids=range(10),
)  # fmt: skip
@pytest.mark.parametrize("step", [0, 1])
def test_refused_logins(
    server: Server, context: Make, answer: Answer, kind: type[BrokerError], said: str, step: int
) -> None:
    serve(server)
    server.on(CURRENT[step], answer)
    with pytest.raises(kind, match=said):
        auth(context()).login()
    assert len(server.asked(CURRENT[step])) == 1, "a TOTP code works once: a login is never repeated"


def test_no_connection_is_broker_down(server: Server, context: Make, clock: ManualClock) -> None:
    made = context()
    dead = BrokerContext(
        credentials=made.credentials,
        endpoints={**made.endpoints, "login": "http://127.0.0.1:1"},
        options={},
        clock=clock,
        instruments=made.instruments,
    )
    with pytest.raises(BrokerDown):
        auth(dead).login()


def test_a_view_token_after_the_mpin_is_refused(server: Server, context: Make) -> None:
    serve(server, token=VIEW)
    with pytest.raises(LoginRequired, match="view token"):
        auth(context()).login()


def test_without_seed_and_code_a_person_is_needed(server: Server, context: Make) -> None:
    without = {k: v for k, v in CREDENTIALS.items() if k != "KOTAK_TOTP_SECRET"}
    with pytest.raises(LoginRequired, match="TOTP"):
        auth(context(without)).login()
    assert server.requests == []


@pytest.mark.parametrize("name", ["KOTAK_UCC", "KOTAK_MOBILE_NUMBER", "KOTAK_MPIN", "BROKER_API_SECRET"])
def test_a_missing_credential_is_named(context: Make, name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        auth(context({k: v for k, v in CREDENTIALS.items() if k != name})).login()


def test_a_seed_that_is_none_is_the_settings_fault(context: Make) -> None:
    with pytest.raises(SettingsError, match="KOTAK_TOTP_SECRET"):
        auth(context({**CREDENTIALS, "KOTAK_TOTP_SECRET": Secret("not base32 189")})).login()


def test_an_unknown_path_family_is_the_settings_fault(context: Make) -> None:
    with pytest.raises(SettingsError, match="KOTAK_PATHS"):
        auth(context(KOTAK_PATHS="v1"))


@pytest.mark.parametrize(
    "text", ["9876543210", "+919876543210", "919876543210", "09876543210", "+91 98765 43210", "98765-43210"]
)
def test_mobile_numbers_get_their_country_code(text: str) -> None:
    assert normal_mobile(text) == "+919876543210"


@pytest.mark.parametrize("text", ["", "12345", "+1 2125551234567", "98765432ab"])
def test_what_is_no_mobile_number_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="KOTAK_MOBILE_NUMBER"):
        normal_mobile(text)


@pytest.mark.parametrize(
    ("token", "now", "expected"),
    [
        (TRADE, NOW, MIDNIGHT),
        ("opaque", NOW, MIDNIGHT),
        ("a.!!!.c", NOW, MIDNIGHT),
        (jwt(scope=["Trade"]), NOW, MIDNIGHT),
        (jwt(exp="soon"), NOW, MIDNIGHT),
        # 19:00 UTC is already the next day in India
        ("opaque", datetime(2026, 11, 20, 19, 0, tzinfo=UTC), datetime(2026, 11, 21, 18, 30, tzinfo=UTC)),
    ],
)
def test_expiry_is_the_tokens_own_else_the_next_indian_midnight(
    token: str, now: datetime, expected: datetime
) -> None:
    assert expiry_of(token, now) == expected


def test_secrets_never_show_in_errors(server: Server, context: Make) -> None:
    serve(server)
    server.on(CURRENT[1], says({"status": "error", "message": "no", "errorCode": "401"}, 401))
    with pytest.raises(LoginRequired) as caught:
        auth(context()).login()
    for secret in ("123456", "app-token", VIEW, "view-sid"):
        assert secret not in str(caught.value)
