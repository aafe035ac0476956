"""Settings of the hooks: whom the supervisor tells what happens to an instance."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from brokers.errors import SettingsError
from brokers.secret import Secret
from gateway.settings.envfile import EnvFile

EVENTS = (
    "ready",
    "failed",
    "login-needed",
    "wedged",
    "feed-mute",
    "coverage-low",
    "disk-low",
    "order-unknown",
    "over-limit",
    "not-ready-before-open",
    "instruments-stale",
    "egress-mismatch",
    "stop-refused",
    "recovered",
)


@dataclass(frozen=True, slots=True)
class HookRules:
    """Whom the supervisor tells what happens to an instance.

    Attributes:
        command: Words of a program (no shell), the event as JSON on its standard input; empty: none.
        url: Gets the event as a JSON POST. A secret: whoever knows such a URL can post to it.
        events: Names told; empty: all.
    """

    command: str = ""
    url: Secret | None = None
    events: frozenset[str] = frozenset()


def read(env: EnvFile) -> HookRules:
    """``HOOK_COMMAND``, ``HOOK_URL``, ``HOOK_EVENTS``. Raises ``SettingsError``."""
    command, url = env.text("HOOK_COMMAND", ""), env.text("HOOK_URL", "")
    try:
        shlex.split(command)
    except ValueError as exc:
        raise SettingsError(f"{env.where('HOOK_COMMAND')}: HOOK_COMMAND cannot be read: {exc}") from exc
    if url and not url.startswith(("http://", "https://")):
        raise SettingsError(f"{env.where('HOOK_URL')}: HOOK_URL must begin with http:// or https://")
    names = frozenset(w.strip() for w in env.text("HOOK_EVENTS", "").split(",") if w.strip())
    if unknown := names - frozenset(EVENTS):
        raise SettingsError(
            f"{env.where('HOOK_EVENTS')}: HOOK_EVENTS has {', '.join(sorted(unknown))}; "
            f"known: {', '.join(EVENTS)}"
        )
    return HookRules(command, Secret(url) if url else None, names)
