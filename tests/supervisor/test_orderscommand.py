"""``algo orders`` over several instances."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from supervisor.cli import algo
from supervisor.commands import orders
from tests.supervisor.test_plan import make


def test_without_a_name_all_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def answered(home: Path, name: str, method: str, path: str) -> dict[str, object]:
        what = {"action": "BUY", "quantity": 1, "exchange": "NSE", "symbol": "SBIN", "product": "MIS"}
        row = {**what, "journal_id": 7, "placed_at": "then", "status": "unknown", "reason": ""}
        return {"orders": [{**row, "needs_a_person": name == "kotak"}]}

    monkeypatch.setattr(orders, "answered", answered)
    for name in ("dhan", "kotak"):
        make(tmp_path, name)
    every = CliRunner().invoke(algo, ["--home", str(tmp_path), "orders", "unknown"])
    assert sorted(every.output.splitlines()) == [
        "dhan  J7  then  BUY 1 NSE:SBIN MIS  unknown",
        "kotak  J7  then  BUY 1 NSE:SBIN MIS  unknown  needs you: algo orders resolve kotak J7",
    ]
    one = CliRunner().invoke(algo, ["--home", str(tmp_path), "orders", "list", "dhan"])
    assert one.output.splitlines() == ["dhan  J7  then  BUY 1 NSE:SBIN MIS  unknown"]
