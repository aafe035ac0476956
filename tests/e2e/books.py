"""One instance's journal beside its simulated broker's orders: nothing lost, doubled or misreported."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

from tests.e2e.trader import OUR_WORDS, Trader

UNFINISHED = ("journaled", "sending", "unknown")


class Books:
    """``trader`` trades through the instance and looks behind it."""

    def __init__(self, trader: Trader) -> None:
        self.trader = trader
        self.name = trader.name
        self.fleet = trader.fleet

    def rows(self) -> list[dict[str, Any]]:
        """Every journal row, also while no process has the file open."""
        path = self.fleet.home / "db" / "sim" / f"openalgo_{self.name}.db"
        with closing(sqlite3.connect(path, timeout=10)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute("SELECT * FROM orders WHERE merged_into IS NULL")]

    def settled(self) -> bool:
        return not any(row["state"] in UNFINISHED or row["pending"] for row in self.rows())

    def check_rows(self) -> int:
        """Every order the broker saw has its journal row, and no intent has two; how many it saw."""
        tags = {row["tag"]: row for row in self.rows() if row["tag"]}
        seen: set[str] = set()
        orders = self.trader.at_broker()
        for order in orders:
            tag = order["tag"][:16]
            assert tag in tags, f"{self.name}: the broker saw {order}, the journal has no row of it"
            assert tag not in seen, f"{self.name}: two orders of one intent: {order}"
            seen.add(tag)
        return len(orders)

    def check_truth(self) -> dict[str, int]:
        """Journal and broker agree on every order; how many stand in each state."""
        self.check_rows()
        by_tag = {order["tag"][:16]: order for order in self.trader.at_broker()}
        counts: dict[str, int] = {}
        clients: set[str] = set()
        for row in self.rows():
            order = by_tag.get(row["tag"])
            true = OUR_WORDS[order["status"]] if order else "rejected"
            assert row["state"] == true, f"{self.name}: J{row['id']} is {row['state']}, really {true}: {row}"
            if order:
                assert row["order_id"] == order["id"]
                assert row["filled_quantity"] == order["filled"]
                if row["client_order_id"]:
                    assert row["client_order_id"] not in clients
                    clients.add(row["client_order_id"])
            counts[true] = counts.get(true, 0) + 1
        return counts
