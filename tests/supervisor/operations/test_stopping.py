"""What becomes of open orders and positions when an instance stops: the choice, as a table."""

from __future__ import annotations

import contextlib

import pytest

from brokers.venue import Venue
from supervisor.operations import stopping
from supervisor.operations.stopping import Open, details, policy_for
from supervisor.running import CommandFailed
from supervisor.state import RunFolder

ORDERS = {"orders": ("BUY 1 NSE:SBIN (open, 7)",)}
POSITION = {"positions": ("+5 NSE:SBIN (MIS)",)}


@pytest.mark.parametrize(
    ("live", "market_open", "what", "asked", "force", "expected"),
    [
        (True, True, ORDERS, None, False, "refuse"),
        (True, True, POSITION, None, False, "refuse"),
        (True, True, {"error": "no answer"}, None, False, "refuse"),
        (True, True, {}, None, False, "keep"),
        (True, True, ORDERS, None, True, "keep"),
        (True, False, ORDERS, None, False, "keep"),
        (False, True, ORDERS, None, False, "keep"),
        (False, True, ORDERS, "refuse", False, "refuse"),
        (False, True, {}, "refuse", False, "keep"),
        (True, True, ORDERS, "keep", False, "keep"),
        (True, True, ORDERS, "cancel", False, "cancel"),
        (True, True, ORDERS, "cancel", True, "cancel"),
        (True, False, POSITION, "flatten", False, "flatten"),
    ],
)
def test_the_choice(live, market_open, what, asked, force, expected):
    assert policy_for(Open("dhan", live, market_open, **what), asked, force=force) == expected


@pytest.mark.parametrize("force", [False, True])
def test_what_could_not_be_cancelled_holds_up_the_stop_unless_forced(monkeypatch, tmp_path, force):
    monkeypatch.setattr(stopping.gateway_settings, "load", lambda *_: None)
    monkeypatch.setattr(stopping, "look", lambda _: Open("dhan", True, **ORDERS))
    monkeypatch.setattr(stopping, "wind_down", lambda *_: ("dhan: 0 orders cancelled; failed: 7", False))
    heard = []
    refused = contextlib.nullcontext() if force else pytest.raises(CommandFailed, match="not stopped")
    with refused:
        stopping.settle(RunFolder(tmp_path, Venue.LIVE), ["dhan"], "cancel", force=force, say=heard.append)
    assert heard[-1] == "dhan: 0 orders cancelled; failed: 7"


def test_a_person_sees_every_order_and_position():
    clear, held = Open("a", True), Open("b", True, orders=("x", "y"), positions=("z",), unknown=1)
    assert details([clear, held]) == [
        "b: 2 working orders, 1 of them unknown, 1 open positions",
        *("  z", "  x", "  y"),
    ]
    assert details([Open("c", True, error="timeout")]) == ["c: cannot tell what is open: timeout"]


def test_hundreds_of_orders_do_not_fill_the_terminal():
    lines = details([Open("b", True, orders=tuple(str(n) for n in range(300)), positions=("+1 SBIN",))])
    assert len(lines) == 12
    assert lines[1] == "  +1 SBIN"
    assert lines[-1] == "  and 291 more: algo orders list"
