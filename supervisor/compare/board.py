"""What a page shows of the comparison: the day's figures now, and the newest probes and tick race as kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway import comparisonfile
from gateway.settings import Settings
from supervisor.compare import page, passing, report

STYLE = page.CSS
"""Goes into the page's own style sheet; the fragments have none."""


def board(fleet: Sequence[Settings], day: str = "") -> dict[str, Any]:
    """``day``: figures of a day (IST, today) as JSON and as an HTML fragment; ``kept``: the other fragments.

    Reads databases and asks the instances that run: a second with 100,000 orders, so not in an event loop.

    Raises:
        InvalidRequest: ``day`` is not a date.
    """
    found = passing.of_day(fleet, day)
    kept = comparisonfile.read(comparisonfile.folder_of(fleet[0].run_dir))
    return {
        "day": {**report.to_json(found), "html": page.fragment(found)},
        "kept": [
            {"kind": one.kind, "title": one.title, "at": one.at.isoformat(), "html": one.html}
            for one in kept
            if one.kind != "day"
        ],
    }
