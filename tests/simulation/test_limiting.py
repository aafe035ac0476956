"""O5 in virtual time: 10,000 arrivals, and what the check is worth without the kept slots."""

from __future__ import annotations

import pytest

from gateway.trading import limiter
from gateway.trading.limiter import Lane
from tests.simulation import limiting
from tests.simulation.checks import Broken


def test_no_window_is_exceeded_and_every_arrival_is_answered_in_time() -> None:
    outcome = limiting.run(10_000, seed=1)
    assert outcome.answered == 10_000
    assert min(outcome.granted[Lane.ENTRY], outcome.refused[Lane.ENTRY], outcome.granted[Lane.EXIT]) > 100


@pytest.mark.parametrize(("name", "value"), [("SHORT_RESERVE", 0), ("LONG_RESERVE", 0.0)])
def test_without_kept_slots_it_fails(monkeypatch: pytest.MonkeyPatch, name: str, value: float) -> None:
    monkeypatch.setattr(limiter, name, value)
    with pytest.raises(Broken, match="kept slot"):
        limiting.run(3000, seed=1)
