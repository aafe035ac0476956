"""Names -> brokers. ``spec`` is light; ``open_broker`` imports the broker's rooms."""

from __future__ import annotations

import importlib
from typing import cast

from brokers import dhan, kotak
from brokers.contract import Broker, BrokerSpec
from brokers.errors import SettingsError

_SPECS: tuple[BrokerSpec, ...] = (dhan.SPEC, kotak.SPEC)


def names() -> list[str]:
    return [spec.name for spec in _SPECS]


def spec(name: str) -> BrokerSpec:
    """The broker of that name or alias. Raises ``SettingsError`` naming those that exist."""
    wanted = name.strip().lower()
    for candidate in _SPECS:
        if wanted == candidate.name or wanted in candidate.aliases:
            return candidate
    raise SettingsError(f"unknown broker '{name}'; known: {', '.join(names())}")


def open_broker(name: str) -> Broker:
    """Load a broker's rooms (``brokers.<name>.broker.BROKER``)."""
    module = importlib.import_module(f"brokers.{spec(name).name}.broker")
    return cast(Broker, module.BROKER)
