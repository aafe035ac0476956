"""Settings of the broker day and of an instance's roles."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from brokers.errors import SettingsError
from gateway.settings.envfile import EnvFile

ROLES = ("feed", "execute", "control")
"""Stream market data; let entries leave; hold the control lease of a strategy id."""


EXAMPLE = """
# The broker day; the values shown are the defaults.
# AUTO_LOGIN=no                    # yes: log in with the stored TOTP seed although nobody asked. The seed and
#                                  # the PIN beside it are then both factors in one file: whoever reads it, or
#                                  # a backup of it, can log in as you. Without it: algo login, once a day.
# OPEN_DEADLINE_MINUTES=5          # not ready this long before the first open of its exchanges: an alarm
# EGRESS_IP_URL=                   # answers with this machine's public address; empty: nobody is ever asked
# REGISTERED_IP=                   # the addresses your broker takes orders from (Dhan is asked itself)
# ROLES=feed,execute,control       # without: no ticks; no orders but exits; no leases
"""


@dataclass(frozen=True, slots=True)
class DayRules:
    """What happens by the calendar.

    Attributes:
        roles: Which of ``ROLES`` this instance has.
        auto_login: Log in with the stored TOTP seed although nobody asked. Opt-in: whoever reads the env file
            can then do so too.
        open_deadline_minutes: Not ready this long before the first open is an alarm.
        egress_url: Answers with the caller's public address as text; empty: never asked.
        registered_ips: Addresses the broker takes orders from, where it cannot be asked for them.
    """

    roles: frozenset[str] = frozenset(ROLES)
    auto_login: bool = False
    open_deadline_minutes: float = 5.0
    egress_url: str = ""
    registered_ips: tuple[str, ...] = ()


def read(env: EnvFile, *, sim: bool) -> DayRules:
    """``ROLES``, ``AUTO_LOGIN``, ``OPEN_DEADLINE_MINUTES``, ``EGRESS_IP_URL``, ``REGISTERED_IP``.

    Simulated brokers have public seeds: there the login needs no leave, and no address is asked for.

    Raises:
        SettingsError: A value is not what it should be; names the line.
    """
    return DayRules(
        roles=_roles(env),
        auto_login=sim or env.choice("AUTO_LOGIN", "no", ("no", "yes")) == "yes",
        open_deadline_minutes=env.number("OPEN_DEADLINE_MINUTES", 5.0, 0.0, 240.0),
        egress_url="" if sim else _url(env),
        registered_ips=_addresses(env),
    )


def _roles(env: EnvFile) -> frozenset[str]:
    words = frozenset(w.strip() for w in env.text("ROLES", ",".join(ROLES)).split(",") if w.strip())
    if not words or words - frozenset(ROLES):
        given = ",".join(sorted(words)) or "empty"
        raise SettingsError(f"{env.where('ROLES')}: ROLES is {given}, expected some of {', '.join(ROLES)}")
    return words


def _url(env: EnvFile) -> str:
    url = env.text("EGRESS_IP_URL", "")
    if url and not url.startswith(("http://", "https://")):
        raise SettingsError(
            f"{env.where('EGRESS_IP_URL')}: EGRESS_IP_URL must begin with http:// or https://"
        )
    return url


def _addresses(env: EnvFile) -> tuple[str, ...]:
    found = []
    for word in env.text("REGISTERED_IP", "").split(","):
        if not word.strip():
            continue
        try:
            found.append(str(ipaddress.ip_address(word.strip())))
        except ValueError as exc:
            raise SettingsError(
                f"{env.where('REGISTERED_IP')}: REGISTERED_IP has {word.strip()}: {exc}"
            ) from exc
    return tuple(found)
