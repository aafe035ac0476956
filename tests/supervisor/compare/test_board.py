"""What the fleet page is given, from the files of instances that do not run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from brokers.errors import InvalidRequest
from brokers.model import Venue
from gateway import comparisonfile
from gateway import settings as gateway_settings
from supervisor.compare.board import board
from supervisor.setup import envfile
from tests.ports import free_ports


def test_stopped_instances_have_a_row_and_old_probes_stay(tmp_path: Path) -> None:
    names = ("dhan", "kotak")
    for name, port in zip(names, free_ports(2), strict=True):
        path = envfile.create(tmp_path, name, None)
        path.write_text(re.sub(r"(?m)^FLASK_PORT=.*$", f"FLASK_PORT={port}", path.read_text()))
    fleet = [gateway_settings.load(tmp_path, name, Venue.SIM) for name in names]
    comparisonfile.write(comparisonfile.folder_of(fleet[0].run_dir), "orders", "<p>probes</p>")
    found = json.loads(json.dumps(board(fleet), allow_nan=False))
    assert [row["name"] for row in found["day"]["instances"]] == list(names)
    assert "dhan: no figures" in found["day"]["html"]
    assert [(one["kind"], one["html"]) for one in found["kept"]] == [("orders", "<p>probes</p>")]
    with pytest.raises(InvalidRequest, match="no date"):
        board(fleet, "yesterday")
