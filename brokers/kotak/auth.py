"""Kotak credentials -> a session: app token, mobile, UCC and TOTP give a view token, the MPIN a trade token.

A session ends at the next 00:00 IST whatever the time of its login; nothing renews it but a new login.

Source: kotak-wire.md sections 1.1 to 1.5.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec

from brokers import jwt
from brokers.clock import IST
from brokers.contract import BrokerContext, BrokerSession
from brokers.credentials import Credentials, ask_once
from brokers.errors import (
    BrokerDown,
    BrokerError,
    LoginRequired,
    SettingsError,
)
from brokers.kotak.mapping import errors
from brokers.secret import Secret
from brokers.transport import Reply, Transport

FIN_KEY = "neotradeapi"
LOGIN_PATHS: Mapping[str, tuple[str, str]] = {
    "current": ("login/1.0/tradeApiLogin", "login/1.0/tradeApiValidate"),
    "apim": ("apim/login/2.0/login/v6/totp/login", "apim/login/2.0/login/v6/totp/validate"),
}
"""Path of each step by ``KOTAK_PATHS``."""

BASE_LOOKUP = "algo-user/v5/get-base-url"
CONFIG_QUERY = {"appVersion": "3.0.9", "platform": "api", "environment": "prod"}
CONFIG_TIMEOUT_S = 5.0
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def family_of(options: Mapping[str, str]) -> str:
    """``KOTAK_PATHS``. Raises ``SettingsError`` for a word that is none of them."""
    family = options.get("KOTAK_PATHS", "current")
    if family not in LOGIN_PATHS:
        raise SettingsError(f"KOTAK_PATHS is {family}, expected one of {', '.join(LOGIN_PATHS)}")
    return family


def authorization(access_token: str, family: str) -> str:
    """The app's access token: without a scheme word now, ``Bearer`` on the 2.0.0 paths."""
    return f"Bearer {access_token}" if family == "apim" else access_token


def normal_mobile(text: str) -> str:
    """``+91XXXXXXXXXX``; without the country code Kotak answers "2FA incomplete".

    Raises:
        SettingsError: Not an Indian mobile number.
    """
    digits = re.sub(r"[\s()-]", "", text)
    match = re.fullmatch(r"(?:\+?91|0)?([0-9]{10})", digits)
    if not match:
        raise SettingsError("KOTAK_MOBILE_NUMBER is not a mobile number like +919876543210")
    return f"+91{match[1]}"


def expiry_of(token: str, now: datetime) -> datetime:
    """``exp`` of a JSON Web Token; the next 00:00 IST when it cannot be read, which is when sessions end."""
    if ends := jwt.expiry(token):
        return ends
    tomorrow = now.astimezone(IST).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time(0), IST).astimezone(UTC)


def websocket_url(url: str) -> str:
    """``https`` -> ``wss``: the config service names sockets by their HTTP address."""
    parts = urlsplit(url)
    scheme = {"https": "wss", "http": "ws"}.get(parts.scheme, parts.scheme)
    return urlunsplit((scheme, parts.netloc, parts.path, parts.query, parts.fragment))


def is_sound(url: str, login_url: str) -> bool:
    """Whether an address the broker answered may be used.

    Encrypted, or loopback when the login was loopback (a simulated broker must not send us anywhere else).
    """
    parts, login = urlsplit(url), urlsplit(login_url)
    if login.hostname in LOOPBACK:
        return parts.hostname in LOOPBACK
    return parts.scheme in ("https", "wss") and bool(parts.hostname)


class KotakAuth:
    """Makes sessions. Thread-safe as far as the transport is; the caller serialises logins."""

    def __init__(self, context: BrokerContext, transport: Transport) -> None:
        self._context = context
        self._transport = transport
        self._known = Credentials(context, "Kotak")
        self._family = family_of(context.options)

    def login(self, *, totp: str | None = None) -> BrokerSession:
        """Make a new session; see ``brokers.contract.Auth.login``.

        Raises:
            SettingsError: A credential is missing or malformed.
            LoginRequired: No code was typed and no seed is stored, or the broker refused.
            RateLimited, BrokerDown: As they say; nothing was changed.
        """
        access_token = self._known.need("BROKER_API_SECRET")
        mobile = normal_mobile(self._known.need("KOTAK_MOBILE_NUMBER"))
        ucc, mpin = self._known.need("KOTAK_UCC").upper(), self._known.need("KOTAK_MPIN")
        one_time = self._known.code("KOTAK_TOTP_SECRET", totp)
        base = self._login_base(ucc, access_token)
        first, second = (f"{base}/{path}" for path in LOGIN_PATHS[self._family])
        headers = {
            "Authorization": authorization(access_token, self._family),
            "neo-fin-key": FIN_KEY,
            "Content-Type": "application/json",
            "accept": "application/json",
        }
        view = self._step(first, headers, {"mobileNumber": mobile, "ucc": ucc, "totp": one_time}, "TOTP")
        headers |= {"sid": str(view.get("sid", "")), "Auth": str(view["token"])}
        trade = self._step(second, headers, {"mpin": mpin}, "MPIN")
        return self._session(ucc, access_token, base, trade)

    def renew(self, session: BrokerSession) -> BrokerSession:
        """Kotak has no refresh: the same as ``login`` with a code from the stored seed."""
        return self.login()

    def _login_base(self, ucc: str, access_token: str) -> str:
        login_url = self._context.endpoints["login"].rstrip("/")
        if self._family != "apim":
            return login_url
        # the 2.0.0 client asks which host serves this account; with an access token in hand it needs no OAuth
        host = self._context.endpoints["config"].split("/5config", 1)[0]
        url = f"{host}/{BASE_LOOKUP}?{urlencode({'id': ucc})}"
        headers = {"Authorization": authorization(access_token, self._family), "accept": "application/json"}
        try:
            found = _data(self._transport.fetch("GET", url, headers=headers, read_timeout_s=CONFIG_TIMEOUT_S))
        except BrokerDown:
            return login_url
        base = str(found.get("baseURL") or "").rstrip("/")
        return base if is_sound(base, login_url) else login_url

    def _step(
        self, url: str, headers: Mapping[str, str], body: Mapping[str, str], what: str
    ) -> dict[str, Any]:
        """One login call; sent once, because a TOTP code works once."""
        sent = msgspec.json.encode(body)
        reply = ask_once(self._transport, "POST", url, f"Kotak {what} login", headers=headers, body=sent)
        if (data := _data(reply)) and data.get("token"):
            return data
        refusal = errors.read(_json(reply.body))
        if reply.status == 429:
            raise errors.rate_limited(reply.retry_after_s, refusal)
        if reply.status >= 500 or (reply.status < 300 and not refusal):
            raise BrokerDown(f"Kotak answered HTTP {reply.status} without a token to the {what} login")
        said = refusal.message or f"HTTP {reply.status}"
        raise LoginRequired(f"Kotak refused the {what} login: {said}", broker_code=refusal.code)

    def _session(
        self, ucc: str, access_token: str, login_base: str, trade: Mapping[str, Any]
    ) -> BrokerSession:
        token = str(trade["token"])
        scope = jwt.claims(token).get("scope")
        if isinstance(scope, list) and scope and "Trade" not in scope:
            raise LoginRequired("Kotak answered the MPIN with a view token; orders need a trade token")
        login_url = self._context.endpoints["login"]
        named = str(trade.get("baseUrl") or "").rstrip("/")
        base_url = named if self._family == "current" and named else login_base
        if not is_sound(base_url, login_url):
            raise BrokerError("Kotak named a trading address that is not encrypted or not where the login is")
        now = self._context.clock.now()
        attributes = {
            "base_url": base_url,
            "data_center": str(trade.get("dataCenter") or ""),
            "server_id": str(trade.get("hsServerId") or ""),
            "ucc": str(trade.get("ucc") or ucc),
            "name": str(trade.get("greetingName") or ""),
        }
        attributes |= self._feeds(attributes, trade)
        return BrokerSession(
            broker="kotak",
            account=attributes["ucc"],
            secrets={
                "token": Secret(token),
                "sid": Secret(str(trade.get("sid") or "")),
                "access_token": Secret(access_token),
            },
            attributes=attributes,
            issued_at=now,
            expires_at=expiry_of(token, now),
        )

    def _feeds(self, known: Mapping[str, str], trade: Mapping[str, Any]) -> dict[str, str]:
        """Which market feed this data centre uses and where the sockets are.

        The config service is a convenience: without it the login's own addresses and the fixed ones stand in.
        """
        configs = self._configs()
        center = known["data_center"]
        source = str(configs.get(f"{center}_broadcast_source") or "")
        feed = {"": "", "hs": "hsm"}.get(source, "sfeed")
        market = str(configs.get(f"{center}_{source}_broadcast_endpoint") or "") if source else ""
        orders = str(configs.get(f"{center}_{source}_interactive_endpoint") or "") if source else ""
        host = urlsplit(known["base_url"])
        urls = {
            "hsm_url": market if feed == "hsm" else "",
            "sfeed_url": market if feed == "sfeed" else str(trade.get("feedUrl") or ""),
            "orders_url": orders
            or str(trade.get("rtUrl") or "")
            or urlunsplit((host.scheme, host.netloc, "/realtime", "", "")),
        }
        login_url = self._context.endpoints["login"]
        sound = {name: websocket_url(url) for name, url in urls.items() if url and is_sound(url, login_url)}
        return {"feed": feed, **sound}

    def _configs(self) -> Mapping[str, Any]:
        url = f"{self._context.endpoints['config']}?{urlencode(CONFIG_QUERY)}"
        try:
            reply = self._transport.fetch("GET", url, headers={}, read_timeout_s=CONFIG_TIMEOUT_S)
        except BrokerDown:
            return {}
        configs = _data(reply).get("configs")
        return configs if isinstance(configs, dict) else {}


def _json(body: bytes) -> Any:
    """Parsed body, None when it is not JSON (gateways answer HTML)."""
    try:
        return msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None


def _data(reply: Reply) -> dict[str, Any]:
    """``data`` of a 2xx answer; a 2xx may also carry an error without it."""
    body = _json(reply.body) if 200 <= reply.status < 300 else None
    data = body.get("data") if isinstance(body, dict) else None
    return data if isinstance(data, dict) else {}
