"""The route ``best``: one address for orders of a home; the same in every env file that says anything."""

from __future__ import annotations

from dataclasses import dataclass

from brokers.errors import SettingsError
from gateway.settings.envfile import EnvFile
from gateway.settings.store import INSTANCE

EXAMPLE = """\

# One address for orders that sends each to the best of several instances; the values shown are the defaults.
# ROUTE=                           # who may get an order, in the fixed order: dhan,kotak; empty: no route
# ROUTE_DATA=                      # whose market data it answers with; empty: the first of ROUTE
# ROUTE_PORT=5052                  # where strategies reach it
"""


@dataclass(frozen=True, slots=True)
class RouteRules:
    """What one env file says of the route.

    Attributes:
        names: Instances an order may go to, in the fixed order; empty: nothing is said here.
        data: The one that answers for market data; empty: the first of them.
    """

    names: tuple[str, ...] = ()
    data: str = ""
    port: int = 5052


def read(env: EnvFile) -> RouteRules:
    """Raises ``SettingsError``."""
    data = _names(env, "ROUTE_DATA")
    if len(data) > 1:
        raise SettingsError(
            f"{env.where('ROUTE_DATA')}: ROUTE_DATA names {len(data)} instances, expected one"
        )
    return RouteRules(_names(env, "ROUTE"), "".join(data), env.port("ROUTE_PORT", 5052))


def _names(env: EnvFile, setting: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(w.strip() for w in env.text(setting, "").split(",") if w.strip()))
    for name in found:
        if not INSTANCE.fullmatch(name):
            raise SettingsError(
                f"{env.where(setting)}: {setting} names '{name}', expected instances such as dhan,kotak"
            )
    return found
