"""Logins of simulated accounts: who may, and which tokens are good.

Tokens have the shape of the broker's (JWT with three parts, scope ``View`` or ``Trade``, ``exp`` at the next
00:00 IST) and are signed with a public constant, so they stay good over a restart of the simulator without a
file. A sid carries its account's signature too: SFeed shows nothing else.

Source: Kotak Neo trade API samples (claims, expiry at midnight IST); static-IP page (two sessions per user).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum

import pyotp

from brokers.clock import IST, Clock
from brokers.sim.settings import PIN, TOTP_SECRET, credentials

MAX_SESSIONS = 2
_KEY = b"algo simulated kotak login-service"
_LOGIN = credentials("kotak", "any")
ACCESS_TOKEN = _LOGIN["BROKER_API_SECRET"]
MOBILE = _LOGIN["KOTAK_MOBILE_NUMBER"]
_UCC = re.compile(r"[A-Z0-9]{5,6}")


class Scope(StrEnum):
    """What a token may do."""

    VIEW = "View"
    TRADE = "Trade"


class Reason(StrEnum):
    """Why a token pair is not accepted."""

    UNKNOWN = "unknown"
    EXPIRED = "expired"
    VIEW_ONLY = "view only"


class TokenRefused(Exception):
    """A token that opens nothing; ``reason`` says why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Grant:
    """One token pair of an account."""

    account: str
    scope: Scope
    token: str
    sid: str
    issued_at: datetime
    expires_at: datetime


def next_midnight(at: datetime) -> datetime:
    """The next 00:00 IST after an instant: when every session of that day ends."""
    day = at.astimezone(IST).date() + timedelta(days=1)
    return datetime.combine(day, time(0), IST).astimezone(UTC)


def credentials_accepted(mobile: str, ucc: str, totp: str, at: datetime) -> bool:
    """First factor. The number must carry its country code, as the broker insists.

    A code of the previous or next half-minute still counts.
    """
    code_ok = pyotp.TOTP(TOTP_SECRET).verify(totp, for_time=at, valid_window=1)
    return mobile == MOBILE and bool(_UCC.fullmatch(ucc)) and code_ok


def mpin_accepted(mpin: str) -> bool:
    return mpin == PIN


def _mac(*parts: str | bytes) -> bytes:
    joined = b"\0".join(p.encode() if isinstance(p, str) else p for p in parts)
    return hmac.new(_KEY, joined, hashlib.sha256).digest()


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _new_sid(account: str, scope: Scope, issued_s: int) -> str:
    head = issued_s.to_bytes(4, "big") + scope.value[:1].encode() + secrets.token_bytes(3)
    return str(uuid.UUID(bytes=head + _mac("sid", account, head)[:8]))


def _sid_claims(account: str, sid: str) -> tuple[Scope, int] | None:
    """Scope and issue second of a sid this simulator gave to the account; None for any other."""
    try:
        raw = uuid.UUID(sid).bytes
    except ValueError:
        return None
    if not hmac.compare_digest(_mac("sid", account, raw[:8])[:8], raw[8:]):
        return None
    return (Scope.TRADE if raw[4:5] == b"T" else Scope.VIEW), int.from_bytes(raw[:4], "big")


def _signature(signed: str) -> str:
    """As long as an RS256 signature (256 bytes)."""
    return _b64(b"".join(_mac("jwt", signed, bytes([n])) for n in range(8)))


def _token(account: str, scope: Scope, sid: str, issued_s: int, expires_s: int) -> str:
    claims = {
        "scope": [scope.value],
        "exp": expires_s,
        "jti": str(uuid.UUID(bytes=_mac("jti", sid)[:16])),
        "iat": issued_s,
        "iss": "login-service",
        "sub": str(uuid.UUID(bytes=_mac("sub", account)[:16])),
        "ucc": account,
        "nap": "",
        "fetchcachingrule": 0,
        "categorisation": "",
    }
    head = _b64(json.dumps({"alg": "RS256", "typ": "JWT"}, separators=(",", ":")).encode())
    signed = f"{head}.{_b64(json.dumps(claims, separators=(',', ':')).encode())}"
    return f"{signed}.{_signature(signed)}"


class Sessions:
    """Every live token pair. At most two trade sessions per account; a third ends the oldest."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._live: dict[str, list[Grant]] = {}  # trade grants, oldest first
        self._dead: set[str] = set()  # sids ended before their time
        # view sids made since the account's tokens were last ended: a login may follow in the same second
        self._views: dict[str, set[str]] = {}
        self._ended_s: dict[str, int] = {}  # account -> tokens of this second and before are dead

    def open(self, account: str, scope: Scope) -> Grant:
        """A fresh token pair."""
        now = self._clock.now()
        issued_s = int(now.timestamp())
        expires_at = next_midnight(now)
        sid = _new_sid(account, scope, issued_s)
        token = _token(account, scope, sid, issued_s, int(expires_at.timestamp()))
        grant = Grant(account, scope, token, sid, now, expires_at)
        if scope is Scope.TRADE:
            self._keep(grant)
        else:
            self._views.setdefault(account, set()).add(sid)
        return grant

    def check(self, token: str, sid: str, *, trade: bool = True) -> Grant:
        """The grant of a token pair.

        Raises:
            TokenRefused: Not ours or not a pair, past its midnight or ended, or a view pair where ``trade``.
        """
        account, issued_s, expires_s, scope = self._read(token, sid)
        expires_at = datetime.fromtimestamp(expires_s, UTC)
        if self._clock.now() >= expires_at or sid in self._dead:
            raise TokenRefused(Reason.EXPIRED)
        known = [g for g in self._live.get(account, ()) if g.sid == sid]
        seen = known or sid in self._views.get(account, ())
        if not seen and issued_s <= self._ended_s.get(account, -1):
            raise TokenRefused(Reason.EXPIRED)
        if trade and scope is not Scope.TRADE:
            raise TokenRefused(Reason.VIEW_ONLY)
        if known:
            return known[0]
        grant = Grant(account, scope, token, sid, datetime.fromtimestamp(issued_s, UTC), expires_at)
        if scope is Scope.TRADE:
            self._keep(grant)  # from before a restart
        return grant

    def alive(self, grant: Grant) -> bool:
        """Whether a grant checked earlier still holds (sockets ask again and again)."""
        if self._clock.now() >= grant.expires_at or grant.sid in self._dead:
            return False
        known = any(g.sid == grant.sid for g in self._live.get(grant.account, ()))
        return known or int(grant.issued_at.timestamp()) > self._ended_s.get(grant.account, -1)

    def sid_is_good(self, account: str, sid: str) -> bool:
        """Whether a sid is that of a live trade session of the account (SFeed sends no token)."""
        claims = _sid_claims(account, sid)
        if claims is None or claims[0] is not Scope.TRADE or sid in self._dead:
            return False
        issued_s = claims[1]
        if self._clock.now() >= next_midnight(datetime.fromtimestamp(issued_s, UTC)):
            return False
        live = any(g.sid == sid for g in self._live.get(account, ()))
        return live or issued_s > self._ended_s.get(account, -1)

    def end(self, account: str) -> None:
        """Every token of the account is dead from now on."""
        self._dead.update(g.sid for g in self._live.pop(account, ()))
        self._dead.update(self._views.pop(account, ()))
        self._ended_s[account] = int(self._clock.now().timestamp())

    def close(self, grant: Grant) -> None:
        """Logout of one session."""
        self._dead.add(grant.sid)
        self._live[grant.account] = [g for g in self._live.get(grant.account, ()) if g.sid != grant.sid]

    def _keep(self, grant: Grant) -> None:
        live = [g for g in self._live.get(grant.account, ()) if g.expires_at > self._clock.now()]
        live = sorted([*live, grant], key=lambda g: g.issued_at)
        self._dead.update(g.sid for g in live[:-MAX_SESSIONS])
        self._live[grant.account] = live[-MAX_SESSIONS:]
        if grant.sid in self._dead:
            raise TokenRefused(Reason.EXPIRED)

    def _read(self, token: str, sid: str) -> tuple[str, int, int, Scope]:
        signed, _, signature = token.rpartition(".")
        if not signed.isascii() or not hmac.compare_digest(_signature(signed).encode(), signature.encode()):
            raise TokenRefused(Reason.UNKNOWN)
        claims = json.loads(_unb64(signed.split(".")[1]))
        if claims["jti"] != str(uuid.UUID(bytes=_mac("jti", sid)[:16])):
            raise TokenRefused(Reason.UNKNOWN)
        return claims["ucc"], claims["iat"], claims["exp"], Scope(claims["scope"][0])
