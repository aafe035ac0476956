"""What a login needs from the env file, and how its calls are sent. Messages name variables, never values."""

from __future__ import annotations

from collections.abc import Mapping

from brokers import totp
from brokers.contract import BrokerContext
from brokers.errors import BrokerDown, CodeNeeded, OutcomeUnknown, SettingsError
from brokers.transport import Reply, Transport


class Credentials:
    """Credentials of one instance. ``title``: the broker as a person writes it."""

    def __init__(self, context: BrokerContext, title: str) -> None:
        self._context = context
        self._title = title

    def need(self, name: str) -> str:
        """The value of an env variable, without blanks around it. Raises ``SettingsError`` without one."""
        secret = self._context.credentials.get(name)
        if not secret:
            raise SettingsError(f"{self._title} needs {name} to log in")
        return secret.reveal().strip()

    def code(self, name: str, typed: str | None = None) -> str:
        """The code a person typed, else the one of this moment from the stored base32 seed.

        Raises:
            CodeNeeded: Neither.
            SettingsError: The seed is none.
        """
        if typed:
            return typed
        seed = self._context.credentials.get(name)
        if not seed:
            raise CodeNeeded(f"{self._title} asks for a TOTP code at every login: algo login, or set {name}")
        try:
            return totp.code(seed.reveal(), self._context.clock.now())
        except ValueError as exc:
            raise SettingsError(f"{self._title}: {name} is not a base32 seed") from exc


def ask_once(
    transport: Transport,
    method: str,
    url: str,
    what: str,
    *,
    headers: Mapping[str, str],
    body: bytes | None = None,
) -> Reply:
    """One call of a login, never repeated: codes work once, and a new token may end the one before.

    Args:
        what: The call in words, with the broker's name: ``Kotak TOTP login``.

    Raises:
        BrokerDown: No whole answer.
    """
    try:
        return transport.send(method, url, headers=headers, body=body)
    except OutcomeUnknown as exc:
        raise BrokerDown(f"{what}: no whole answer") from exc
