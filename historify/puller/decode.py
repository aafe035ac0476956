"""Raw answers -> bars, by the broker's own pure mapping."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from datetime import date
from typing import cast

from brokers import registry
from brokers.model import Candle
from historify.model import Bars

Decoder = Callable[[bytes, str, date, date], list[Candle]]


def decoder(broker: str) -> Decoder:
    """``candles`` of the broker's ``mapping.history``, loaded when a broker first answers.

    Raises:
        SettingsError: Nobody knows this broker.
    """
    module = importlib.import_module(f"brokers.{registry.spec(broker).name}.mapping.history")
    return cast(Decoder, module.candles)


def bars(decode: Decoder, body: bytes, interval: str, start: date, end: date) -> tuple[Bars, int]:
    """The bars of an answer, and how many were left out because no market makes such ones.

    That is a price of zero, or an open outside high and low.

    Raises:
        WireError: The answer cannot be read.
    """
    candles = decode(body, interval, start, end)
    sound = [c for c in candles if _is_sound(c)]
    rows = ((c.opened_at_s, c.open, c.high, c.low, c.close, c.volume, c.oi) for c in sound)
    return Bars.of(rows), len(candles) - len(sound)


def _is_sound(c: Candle) -> bool:
    return 0 < c.low <= min(c.open, c.close) and max(c.open, c.close) <= c.high and c.volume >= 0
