"""Who one is: login by PIN and TOTP, token renewal, profile, whitelisted addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta

import pyotp
from aiohttp import web

from brokers.clock import IST
from brokers.sim import settings
from brokers.sim.dhan.errors import INPUT, Refused
from brokers.sim.dhan.gate import Call, Desk, Gate, answer

_CLIENT = re.compile(r"\d{10}")


class Accounts:
    """Tokens and what hangs on them.

    Args:
        mint_gap_s: Seconds the login refuses a second token; users report 120 at the real broker
            ("Token can be generated once every 2 minutes."). 0 here, so that a test can expire a token and
            log in again.
    """

    def __init__(self, desk: Desk, mint_gap_s: float = 0.0) -> None:
        self._desk = desk
        self.mint_gap_s = mint_gap_s
        self._minted: dict[str, float] = {}

    def routes(self, gate: Gate) -> Iterator[web.RouteDef]:
        yield web.post("/app/generateAccessToken", self._generate)
        yield gate.route("GET", "/v2/RenewToken", self._renew)
        yield gate.route("POST", "/v2/RenewToken", self._renew_by_post)
        yield gate.route("GET", "/v2/profile", self._profile)
        yield gate.route("POST", "/v2/ip/setIP", self._set_ip)
        yield gate.route("PUT", "/v2/ip/modifyIP", self._set_ip)
        yield gate.route("GET", "/v2/ip/getIP", self._get_ip)

    def session(self, account: str, *, web_made: bool) -> dict[str, object]:
        """A fresh token in the six fields of Dhan's login answers; older tokens die."""
        token, expires_at = self._desk.tokens.make(account, web=web_made)
        return {
            "dhanClientId": account,
            "dhanClientName": f"SIMULATED {account}",
            "dhanClientUcc": f"SIM{account[-6:]}",
            "givenPowerOfAttorney": False,
            "accessToken": token,
            "expiryTime": f"{expires_at.astimezone(IST):%Y-%m-%dT%H:%M:%S}.000",
        }

    async def _generate(self, request: web.Request) -> web.Response:
        """PIN and TOTP in the query, no body. Its errors have a shape of their own (status, message)."""
        query = request.query
        account = query.get("dhanClientId", "")
        if not _CLIENT.fullmatch(account) or query.get("pin") != settings.PIN:
            return _no("Invalid Client ID or PIN")
        now = self._desk.clock.now()
        totp = pyotp.TOTP(settings.TOTP_SECRET)
        if not totp.verify(query.get("totp", ""), for_time=now, valid_window=1):
            return _no("Invalid TOTP")
        last = self._minted.get(account)
        monotonic = self._desk.clock.monotonic()
        if last is not None and monotonic - last < self.mint_gap_s:
            return _no("Token can be generated once every 2 minutes.")
        self._minted[account] = monotonic
        return answer(self.session(account, web_made=False))

    async def _renew(self, call: Call) -> web.Response:
        """Only for tokens made on the website; the old one dies at once."""
        if call.request.headers.get("dhanClientId") != call.account:
            raise Refused("DH-905", INPUT)
        _, token = self._desk.tokens.judge(call.request.headers["access-token"])
        if token is None or not token.web:
            raise Refused("DH-905", "Renewal of token not allowed for this token type")
        return answer(self.session(call.account, web_made=True))

    async def _renew_by_post(self, call: Call) -> web.Response:
        raise Refused("DH-905", INPUT)

    async def _profile(self, call: Call) -> web.Response:
        _, token = self._desk.tokens.judge(call.request.headers["access-token"])
        if token is None:
            raise Refused("DH-906", "Invalid Token")
        paid_until = self._desk.clock.now().astimezone(IST) + timedelta(days=30)
        return answer(
            {
                "dhanClientId": call.account,
                "tokenValidity": f"{token.expires_at.astimezone(IST):%d/%m/%Y %H:%M}",
                "activeSegment": "E, D, C, M, ",  # trailing comma as measured
                "ddpi": "Active",
                "mtf": "Active",
                "dataPlan": "Active",
                "dataValidity": f"{paid_until:%Y-%m-%d %H:%M:%S}.0",
            }
        )

    async def _set_ip(self, call: Call) -> web.Response:
        address, flag = call.body.get("ip"), call.body.get("ipFlag")
        if not isinstance(address, str) or not address or flag not in ("PRIMARY", "SECONDARY"):
            raise Refused("DH-905", INPUT)
        today = self._now().date().isoformat()
        self._desk.addresses.setdefault(call.account, {})[str(flag)] = (address, today)
        return answer({"message": "IP saved successfully", "status": "SUCCESS"})

    async def _get_ip(self, call: Call) -> web.Response:
        known = self._desk.addresses.get(call.account)
        if not known:
            return answer([{"message": "No IP set for the client", "status": "ERROR"}])
        primary, secondary = (known.get(flag, ("", "")) for flag in ("PRIMARY", "SECONDARY"))
        return answer(
            {
                "primaryIP": primary[0],
                "secondaryIP": secondary[0],
                "modifyDatePrimary": primary[1],
                "modifyDateSecondary": secondary[1],
            }
        )

    def _now(self) -> datetime:
        return self._desk.clock.now().astimezone(IST)


def _no(text: str) -> web.Response:
    return answer({"status": "error", "message": text}, status=400)
