"""Access tokens: JWT-shaped, 24 hours, one live token per account.

Nothing is stored. The signing key follows from a seed, so a token outlives a restart of the simulator, and
"the newest kills the older ones" is kept by remembering, per account, the newest token ever made or seen.
After a restart an older token is therefore taken until the newer one shows up; no longer.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

from brokers.clock import Clock

LIFE = timedelta(hours=24)


class Verdict(Enum):
    """What a token is worth."""

    LIVE = "live"
    EXPIRED = "expired"
    REPLACED = "replaced"
    GARBAGE = "garbage"


@dataclass(frozen=True, slots=True)
class Token:
    """A token taken apart. ``web``: made on the website (may be renewed), else by PIN and TOTP."""

    account: str
    number: int
    expires_at: datetime
    web: bool


class Tokens:
    """Makes and judges tokens."""

    def __init__(self, clock: Clock, seed: int) -> None:
        self._clock = clock
        self._key = hashlib.sha256(f"algo simulated dhan {seed}".encode()).digest()
        self._newest: dict[str, int] = {}
        self._dead: dict[str, int] = {}

    def make(self, account: str, *, web: bool = False) -> tuple[str, datetime]:
        """A new token and its end (aware UTC); every older token of the account is dead from now on."""
        now = self._clock.now()
        expires_at = (now + LIFE).replace(microsecond=0)
        number = max(self._clock.time_ns(), self._newest.get(account, 0) + 1)
        claims = {
            "iss": "dhan",
            "partnerId": "",
            "exp": int(expires_at.timestamp()),
            "iat": int(now.timestamp()),
            "tokenConsumerType": "SELF" if web else "APP",
            "webhookUrl": "",
            "dhanClientId": account,
            "jti": str(number),
        }
        head = _b64({"typ": "JWT", "alg": "HS512"})
        body = _b64(claims)
        self._newest[account] = number
        return f"{head}.{body}.{self._sign(f'{head}.{body}')}", expires_at

    def judge(self, text: str) -> tuple[Verdict, Token | None]:
        """What a token is worth now; the token itself unless it is garbage."""
        token = self._read(text)
        if token is None:
            return Verdict.GARBAGE, None
        if token.expires_at <= self._clock.now() or token.number <= self._dead.get(token.account, 0):
            return Verdict.EXPIRED, token
        newest = self._newest.setdefault(token.account, token.number)
        if token.number < newest:
            return Verdict.REPLACED, token
        self._newest[token.account] = token.number
        return Verdict.LIVE, token

    def expire(self, account: str) -> None:
        """Every token of the account made so far is expired from now on."""
        self._dead[account] = max(self._clock.time_ns(), self._newest.get(account, 0))

    def _read(self, text: str) -> Token | None:
        head, _, rest = text.partition(".")
        body, _, signature = rest.partition(".")
        if not hmac.compare_digest(signature.encode(), self._sign(f"{head}.{body}").encode()):
            return None
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return Token(
            account=claims["dhanClientId"],
            number=int(claims["jti"]),
            expires_at=datetime.fromtimestamp(claims["exp"], UTC),
            web=claims["tokenConsumerType"] == "SELF",
        )

    def _sign(self, text: str) -> str:
        digest = hmac.new(self._key, text.encode(), hashlib.sha512).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _b64(value: dict[str, object]) -> str:
    raw = json.dumps(value, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
