"""The reference pages say what the code says now."""

from __future__ import annotations

import pytest

from scripts.manual_pages import FOLDER, PAGES
from scripts.manual_pages.meanings import GROUPS, MEANINGS
from scripts.manual_pages.settings import everything


@pytest.mark.parametrize("name", PAGES)
def test_it_is_up_to_date(name):
    now = PAGES[name]()
    assert (FOLDER / name).read_text(encoding="utf-8") == now, "run: scripts/manual reference"


def test_every_setting_has_a_meaning():
    read = set(everything())
    assert read - set(MEANINGS) == set(), "give it a line in scripts/manual_pages/meanings.py"
    assert set(MEANINGS) - read == set(), "nothing reads it any more"
    assert sum(map(len, GROUPS.values())) == len(MEANINGS)
