"""Names -> brokers: every folder here with a ``SPEC``. ``spec`` is light; ``open_broker`` imports rooms."""

from __future__ import annotations

import importlib
import pkgutil
from typing import cast

import brokers
from brokers.contract import Broker
from brokers.errors import SettingsError
from brokers.spec import BrokerSpec


def _specs() -> tuple[BrokerSpec, ...]:
    """By name. A folder is a broker when its ``__init__`` holds a ``SPEC`` of that name."""
    folders = [folder.name for folder in pkgutil.iter_modules(brokers.__path__) if folder.ispkg]
    found = [getattr(importlib.import_module(f"brokers.{name}"), "SPEC", None) for name in sorted(folders)]
    return tuple(spec for spec in found if isinstance(spec, BrokerSpec))


_SPECS = _specs()


def names() -> list[str]:
    """Every broker's name, sorted."""
    return [spec.name for spec in _SPECS]


def spec(name: str) -> BrokerSpec:
    """The broker of that name or alias, in any case. Raises ``SettingsError`` naming those that exist."""
    wanted = name.strip().lower()
    for candidate in _SPECS:
        if wanted == candidate.name or wanted in candidate.aliases:
            return candidate
    raise SettingsError(f"unknown broker '{name}'; known: {', '.join(names())}")


def open_broker(name: str) -> Broker:
    """Load a broker's rooms (``brokers.<name>.broker.BROKER``). Raises ``SettingsError`` as ``spec``."""
    module = importlib.import_module(f"brokers.{spec(name).name}.broker")
    return cast(Broker, module.BROKER)
