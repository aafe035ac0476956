"""Who is looking at the pages: owner code, account rules, web session, CSRF. No page in here."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Protocol

from flask import Flask, Response, request, session

from brokers.clock import IST, Clock
from brokers.secret import Secret
from gateway.http.gate import from_elsewhere

CSRF_HEADER = "X-CSRF-Token"
DAY_ENDS_AT = 3
"""IST hour at which every web session ends (OpenAlgo's SESSION_EXPIRY_TIME)."""
USERNAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{1,31}\Z")
SHORTEST_PASSWORD = 10
LONGEST_PASSWORD = 200


class OneTimeCode:
    """The code that lets the first person make the owner account; gone once it is spent.

    Ten characters of a 32-letter alphabet (50 bits), and the sign-in rate limits stand before it.
    """

    ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"

    def __init__(self, needed: bool) -> None:
        text = "".join(secrets.choice(self.ALPHABET) for _ in range(10))
        self._code: str | None = f"{text[:5]}-{text[5:]}" if needed else None
        self._lock = threading.Lock()

    def current(self) -> str | None:
        return self._code

    def matches(self, text: str) -> bool:
        code = self._code
        given = text.strip().upper().replace("-", "")
        return code is not None and hmac.compare_digest(given.encode(), code.replace("-", "").encode())

    def spend(self, text: str) -> bool:
        """True once, for whoever brings the right code first."""
        with self._lock:
            if not self.matches(text):
                return False
            self._code = None
            return True

    def give_back(self, code: str) -> None:
        """Making the account failed after all."""
        with self._lock:
            self._code = code


class SignedOut(Protocol):
    """Keeps the sign-outs over a restart: session id -> the end it would have had, epoch seconds."""

    def load(self) -> dict[str, float]: ...

    def keep(self, revoked: dict[str, float]) -> None: ...


class WebSessions:
    """Signed cookies with an end, and the ones that were signed out before it.

    Args:
        memory: Without it a copy of a cookie works again after a restart.
    """

    def __init__(self, clock: Clock, memory: SignedOut | None = None) -> None:
        self._clock = clock
        self._memory = memory
        self._revoked = memory.load() if memory is not None else {}
        self._lock = threading.Lock()

    def sign_in(self, user_id: int) -> None:
        session.clear()
        session["uid"] = user_id
        session["sid"] = secrets.token_hex(16)
        session["until"] = next_day_end(self._clock.now()).timestamp()

    def sign_out(self) -> None:
        ended = {session["sid"]: float(session["until"])} if "sid" in session else {}
        session.clear()
        self.revoke(ended)

    def revoke(self, ended: Mapping[str, float]) -> None:
        """Sign out sessions by their id, each with the end it would have had."""
        now = self._clock.now().timestamp()
        with self._lock:
            self._revoked = {sid: until for sid, until in self._revoked.items() if until > now} | dict(ended)
            if self._memory is not None:
                self._memory.keep(dict(self._revoked))

    def user_id(self) -> int | None:
        """The signed-in user of the current request."""
        sid, uid, until = session.get("sid"), session.get("uid"), session.get("until")
        if not isinstance(sid, str) or not isinstance(uid, int) or not isinstance(until, float):
            return None
        return uid if self.alive(sid, until) else None

    def alive(self, sid: str, until: float) -> bool:
        """Neither signed out nor at its end."""
        return sid not in self._revoked and self._clock.now().timestamp() < until

    @property
    def sid(self) -> str:
        return str(session.get("sid", ""))

    @property
    def until(self) -> float:
        """When the current request's web session ends, epoch seconds; 0 without one."""
        return float(session.get("until", 0))


def next_day_end(now: datetime) -> datetime:
    local = now.astimezone(IST)
    end = local.replace(hour=DAY_ENDS_AT, minute=0, second=0, microsecond=0)
    return end if end > local else end + timedelta(days=1)


class Csrf:
    """Signed double submit: a random cookie, and in the form its HMAC under the instance's APP_KEY.

    A page of another site can neither read the cookie nor make the HMAC; SameSite=Strict keeps the cookie
    away from its requests, and an ``Origin`` that is not ours is refused before anything is compared.
    """

    def __init__(self, cookie: str, key: Secret) -> None:
        self._cookie = cookie
        self._key = hashlib.sha256(b"csrf:" + key.reveal().encode()).digest()

    def token(self) -> str:
        """For the form of the page being rendered; ``plant`` puts the cookie beside it."""
        return self._sign(self._seed())

    def plant(self, response: Response) -> Response:
        seed = request.environ.get("algo.csrf_seed")
        if seed is not None and request.cookies.get(self._cookie) != seed:
            response.set_cookie(
                self._cookie, seed, httponly=True, samesite="Strict", secure=over_tls(), path="/"
            )
        return response

    def valid(self) -> bool:
        """The token comes in the form, or in a header where a script sends JSON."""
        seed = request.cookies.get(self._cookie, "")
        given = request.headers.get(CSRF_HEADER) or request.form.get("csrf_token", "")
        if len(seed) != 32 or from_elsewhere(request.environ):
            return False
        return hmac.compare_digest(given.encode(), self._sign(seed).encode())

    def renew(self) -> None:
        """A new seed from the next page on (after a sign-in)."""
        request.environ["algo.csrf_seed"] = secrets.token_hex(16)

    def _seed(self) -> str:
        seed = request.environ.get("algo.csrf_seed") or request.cookies.get(self._cookie, "")
        if len(seed) != 32:
            seed = secrets.token_hex(16)
        request.environ["algo.csrf_seed"] = seed
        return str(seed)

    def _sign(self, seed: str) -> str:
        return hmac.new(self._key, seed.encode(), hashlib.sha256).hexdigest()


def over_tls() -> bool:
    """Whether the browser says that its page came over TLS (a proxy in front of us took it off).

    A form always carries its ``Origin``, so the cookie of a sign-in behind such a proxy is ``Secure``; over
    plain loopback a browser may drop a ``Secure`` cookie, and nobody could sign in.
    """
    return request.headers.get("Origin", "").startswith("https://")


def cookie_settings(app: Flask, name: str, key: Secret) -> None:
    app.config.update(
        SECRET_KEY=key.reveal(),
        SESSION_COOKIE_NAME=name,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_REFRESH_EACH_REQUEST=False,
    )


def check_account(username: str, password: str, repeat: str) -> str | None:
    """What is wrong with a new owner account, None when nothing is."""
    if not USERNAME.match(username):
        return "The user name needs 2 to 32 letters, digits, dots, dashes or underscores; a letter first."
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        return f"The password needs at least {SHORTEST_PASSWORD} characters."
    if password.lower() == username.lower():
        return "The password must not be the user name."
    if password != repeat:
        return "The two passwords differ."
    return None
