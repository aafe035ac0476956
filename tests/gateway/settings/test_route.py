"""What an env file says of the route."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from brokers.errors import SettingsError
from brokers.model import Venue
from gateway.settings import Settings, load
from gateway.settings.route import EXAMPLE, RouteRules
from tests.gateway.settings.test_instance import GOOD, write


def read(home: Path, *lines: str) -> Settings:
    write(home, "dhan", GOOD + "\n".join(lines) + "\n")
    return load(home, "dhan", Venue.LIVE)


def test_there_is_none_unless_named(tmp_path: Path) -> None:
    assert read(tmp_path).route == RouteRules()
    lines = [re.split(r"\s+#", line)[0] for line in re.findall(r"^# ([A-Z_]+=.*)$", EXAMPLE, re.MULTILINE)]
    assert len(lines) == 3
    assert read(tmp_path, *lines).route == RouteRules()


def test_names_keep_their_order(tmp_path: Path) -> None:
    found = read(tmp_path, "ROUTE=kotak, dhan,kotak", "ROUTE_DATA=dhan", "ROUTE_PORT=6052").route
    assert found == RouteRules(("kotak", "dhan"), "dhan", 6052)


@pytest.mark.parametrize("line", ["ROUTE=dhan,../etc", "ROUTE_DATA=dhan,kotak", "ROUTE_PORT=0"])
def test_nonsense_is_named_with_its_line(tmp_path: Path, line: str) -> None:
    with pytest.raises(SettingsError, match=r"dhan\.env line \d+: ROUTE"):
        read(tmp_path, line)
