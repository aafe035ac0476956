"""What the page on trouble quotes is what the program says."""

from __future__ import annotations

import re

import pytest

from tests.docs.said import ROOT, says, texts

PAGE = ROOT / "docs" / "manual" / "troubleshooting.md"
QUOTED = [
    line.strip()
    for block in re.findall(r"(?s)^```text\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    for line in block.splitlines()
]
SEARCHED = (
    *("Address already in use", "WebSocket connection failed", "Database is locked", "Wrong broker selected"),
    *("Authentication failed", "Instrument not found", "Waiting for data", "Too many requests"),
    *("Symbol count exceeds maximum", "Position mismatch", "Silently rejected order"),
)


@pytest.fixture(scope="module")
def known() -> list[str]:
    return texts()


@pytest.mark.parametrize("line", QUOTED)
def test_a_quoted_message_is_in_the_code(line, known):
    assert says(line, known), f"docs/manual/troubleshooting.md quotes what no code says: {line}"


def test_what_nobody_says_is_not_found(known):
    assert not says("port … is held by the moon", known)


def test_every_message_people_search_has_a_section():
    titles = re.findall(r"(?m)^## (.*)$", PAGE.read_text(encoding="utf-8"))
    assert set(SEARCHED) <= set(titles)
