"""What the soak campaign counts, and when it says a promise was broken."""

from __future__ import annotations

import pytest

from scripts.campaigns import soak
from scripts.campaigns.soak import Gaps


def message(symbol: str, seq: int) -> bytes:
    return (
        b'{"type":"market_data","symbol":"%s","exchange":"NSE","mode":1,"data":{"symbol":"%s","seq":%d}}'
        % (symbol.encode(), symbol.encode(), seq)
    )


def test_each_symbol_has_its_own_numbers_and_missing_ones_are_counted() -> None:
    gaps = Gaps()
    for symbol, seq in (("A", 1), ("B", 7), ("A", 2), ("B", 8), ("A", 5), ("B", 9), ("A", 6)):
        gaps.take(message(symbol, seq))
    assert (gaps.messages, gaps.missing, gaps.bad) == (5, 2, 0)
    gaps.take(b'{"type":"pong"}')
    assert gaps.bad == 1


@pytest.mark.parametrize(
    ("rss", "descriptors", "received", "missing", "good"),
    [
        (104, 9, 900, 0, True),
        (106, 9, 900, 0, False),
        (100, 10, 900, 0, False),
        (100, 9, 899, 0, False),
        (100, 9, 900, 1, False),
    ],
)
def test_every_promise_counts(
    rss: int, descriptors: int, received: int, missing: int, good: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    ws, bus = Gaps(), Gaps()
    ws.messages, bus.messages, bus.missing = 900, received, missing
    kept = soak.judge({"feed": (100, 9)}, {"feed": (rss, descriptors)}, ws, bus, 1000, 0.5)
    assert kept is good
    assert capsys.readouterr().out.startswith("kept" if good else "BROKEN")
