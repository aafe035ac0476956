"""Logging in: TOTP, then MPIN, in every path family; base-URL, application-token and config look-ups.

Source: Kotak Neo clients v2.0.0, v2.0.2 and ``kotakneoapi`` 3.0.9; reported error bodies.
"""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from brokers.sim.kotak import answers
from brokers.sim.kotak.house import House, answering, json_body
from brokers.sim.kotak.sessions import (
    ACCESS_TOKEN,
    Grant,
    Reason,
    Scope,
    TokenRefused,
    credentials_accepted,
    mpin_accepted,
)
from brokers.sim.kotak.shapes import slashed

DATA_CENTER = "E43"

TOTP_PATHS = (
    "login/1.0/tradeApiLogin",
    "apim/login/2.0/login/v6/totp/login",
    "login/1.0/login/v6/totp/login",
    "api/1.0/login/v6/totp/login",
)
MPIN_PATHS = (
    "login/1.0/tradeApiValidate",
    "apim/login/2.0/login/v6/totp/validate",
    "login/1.0/login/v6/totp/validate",
    "api/1.0/login/v6/totp/validate",
)
LOGOUT_PATHS = ("apim/login/2.0/logout", "login/1.0/logout", "api/1.0/logout")


class Login:
    """Handlers of the login service."""

    def __init__(self, house: House) -> None:
        self._house = house

    def routes(self) -> Iterable[web.RouteDef]:
        for path in TOTP_PATHS:
            yield web.post(f"/{path}", answering(self.totp))
        for path in MPIN_PATHS:
            yield web.post(f"/{path}", answering(self.mpin))
        for path in LOGOUT_PATHS:
            yield web.post(f"/{path}", answering(self.logout))
        yield web.get("/login/1.0/get-client-ip", answering(self.client_ip))
        yield web.get("/algo-user/v5/get-base-url", answering(self.get_base_url))
        yield web.post("/oauth2/token", answering(self.oauth))
        yield web.get("/5config/config", answering(self.config))

    async def totp(self, request: web.Request) -> web.Response:
        """First factor: a view token."""
        self._require_headers(request)
        body = await json_body(request)
        mobile, ucc, code = self._fields(body, {"mobileNumber": "MobileNumber", "ucc": "Ucc", "totp": "Totp"})
        if not credentials_accepted(mobile, ucc, code, self._house.clock.now()):
            raise answers.login_refused()
        return web.json_response({"data": self.describe(self._house.sessions.open(ucc, Scope.VIEW))})

    async def mpin(self, request: web.Request) -> web.Response:
        """Second factor: the trade token and where to use it."""
        self._require_headers(request)
        token, sid = request.headers.get("Auth", ""), request.headers.get("Sid", "")
        if not token or not sid:
            raise answers.header_missing()
        try:
            view = self._house.sessions.check(token, sid, trade=False)
        except TokenRefused as exc:
            raise answers.session_invalid(known=exc.reason is Reason.EXPIRED) from exc
        (pin,) = self._fields(await json_body(request), {"mpin": "Mpin"})
        if not mpin_accepted(pin):
            raise answers.login_refused()
        return web.json_response(
            {"data": self.describe(self._house.sessions.open(view.account, Scope.TRADE))}
        )

    async def logout(self, request: web.Request) -> web.Response:
        """End one session; the older clients send it, the newer only forget."""
        self._house.sessions.close(self._house.trader(request))
        return web.json_response({"data": {"stat": "Ok", "stCode": 200}})

    async def client_ip(self, request: web.Request) -> web.Response:
        self._house.application(request, required=True)
        at = slashed(self._house.clock.now())
        data = [{"ip": request.remote or "", "time": at}]
        return web.json_response({"data": data, "stCode": 1000, "status": "success"})

    async def get_base_url(self, request: web.Request) -> web.Response:
        """Which host serves a client code (v2.0.0)."""
        if not request.query.get("id"):
            raise answers.field_missing("id")
        return web.json_response({"data": {"baseURL": self._house.base_url}})

    async def oauth(self, request: web.Request) -> web.Response:
        """Client-credentials token of an app (v2.0.0): any secret, the app key is the access token."""
        scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
        try:
            key = base64.b64decode(encoded).decode().partition(":")[0] if scheme == "Basic" else ""
        except (binascii.Error, UnicodeDecodeError):
            key = ""
        if key != ACCESS_TOKEN:
            body = {"error": "invalid_client", "error_description": "A valid OAuth client could not be found"}
            return web.json_response(body, status=401)
        answer = {
            "access_token": ACCESS_TOKEN,
            "scope": "default",
            "token_type": "Bearer",
            "expires_in": 3600,
        }
        return web.json_response(answer)

    async def config(self, request: web.Request) -> web.Response:
        """Feed endpoints by data centre, all on this port; clients turn http into ws."""
        base = self._house.base_url
        configs = {f"{DATA_CENTER}_broadcast_source": self._house.knobs.broadcast_source}
        for source, path in (("ks", "apifeed"), ("hs", "hsm")):
            configs[f"{DATA_CENTER}_{source}_broadcast_endpoint"] = f"{base}/{path}"
            configs[f"{DATA_CENTER}_{source}_interactive_endpoint"] = f"{base}/realtime"
        return web.json_response({"data": {"configs": configs}, "status": "success"})

    def describe(self, grant: Grant) -> dict[str, Any]:
        """``data`` of either login step; the trade one says where to go."""
        data: dict[str, Any] = {
            "token": grant.token,
            "sid": grant.sid,
            "rid": str(uuid.uuid5(uuid.NAMESPACE_OID, grant.sid)),
            "hsServerId": "",
            "isUserPwdExpired": False,
            "ucc": grant.account,
            "greetingName": "SIMULATED",
            "isTrialAccount": False,
            "dataCenter": DATA_CENTER,
            "searchAPIKey": "",
            "derivativesRiskDisclosure": "Simulated broker: no order leaves this machine.",
            "mfAccess": 1,
            "dataCenterMap": None,
            "dormancyStatus": "A",
            "asbaStatus": "",
            "clientType": "RI",
            "clientGroup": "API",
            "isNRI": False,
            "kId": "AAAPA0000A",
            "kType": grant.scope.value,
            "status": "success",
            "incRange": 0,
            "incUpdFlag": "",
            "kraStatus": "",
            "rcFlag": 0,
        }
        if grant.scope is Scope.TRADE:
            data["baseUrl"] = self._house.base_url
        return data

    def _require_headers(self, request: web.Request) -> None:
        self._house.application(request, required=True)
        if not request.headers.get("neo-fin-key"):
            raise answers.header_missing()

    @staticmethod
    def _fields(body: dict[str, object], names: dict[str, str]) -> list[str]:
        values = []
        for key, shown in names.items():
            value = body.get(key)
            if not isinstance(value, str) or not value:
                raise answers.field_missing(shown)
            values.append(value)
        return values
