"""What becomes of open orders and positions when an instance stops: the choice, as a table."""

from __future__ import annotations

import pytest

from supervisor.operations.stopping import Open, details, policy_for

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
