"""Misbehaviour on demand: rules set over the control endpoint, applied to HTTP answers and feed frames."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler

from brokers.clock import Clock


class Faults:
    """The rules in force.

    Feeds ask per frame: ``for piece in faults.frame("feed", data): await ws.send…`` (nothing while silent).
    ``cut`` and ``half_open`` are handed to the socket's owner through ``register_socket``.
    """

    def __init__(self, clock: Clock, seed: int = 1) -> None: ...

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        raise NotImplementedError

    def frame(self, socket_name: str, data: bytes | str) -> list[bytes | str]:
        """What to send instead of one frame: usually the frame itself, nothing while silent, or torn or
        garbage bytes."""
        raise NotImplementedError

    def is_silent(self, socket_name: str) -> bool:
        """The feed must stop sending and stay open."""
        raise NotImplementedError

    def token_expired(self, account: str) -> bool:
        """Treat every token of the account as expired (consumes one count of the rule)."""
        raise NotImplementedError

    def ip_refused(self, account: str) -> bool:
        """Answer orders of the account as for a foreign IP (consumes one count of the rule)."""
        raise NotImplementedError

    def attach(self, socket_name: str, ws: web.WebSocketResponse, request: web.Request) -> None:
        """A feed socket opened; ``cut`` closes its transport abruptly, ``half_open`` stops reading from and
        writing to it without closing. ``frame`` needs no socket; this does."""

    def detach(self, ws: web.WebSocketResponse) -> None:
        """The socket is gone."""
