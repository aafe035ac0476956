"""The golden vectors of Kotak's wire formats (``data/kotak-frames.json``): published; names invented."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "kotak-frames.json").read_text())


def hsm_steps(direction: str) -> list[Any]:
    """``(id, step)`` of every HSM vector of one direction."""
    return [
        (f"{scenario['scenario']}-{step['name']}", step)
        for scenario in VECTORS["hsm"]["scenarios"]
        for step in scenario["steps"]
        if step["dir"] == direction
    ]


def hsm_step(scenario: str, name: str) -> dict[str, Any]:
    for candidate in VECTORS["hsm"]["scenarios"]:
        if candidate["scenario"] == scenario:
            return next(step for step in candidate["steps"] if step["name"] == name)
    raise KeyError(scenario)


def sfeed_frame(name: str) -> dict[str, Any]:
    return next(frame for frame in VECTORS["sfeed"]["frames"] if frame["name"] == name)
