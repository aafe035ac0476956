"""The golden vectors, loaded once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"
FRAMES: dict[str, Any] = json.loads((DATA / "kotak-frames.json").read_text())
SCENARIOS: dict[str, dict[str, Any]] = {s["scenario"]: s for s in FRAMES["hsm"]["scenarios"]}
SFEED: dict[str, dict[str, Any]] = {f["name"]: f for f in FRAMES["sfeed"]["frames"]}
ORDER_FEED: dict[str, str] = {
    f["name"]: f["text"]
    for way in ("client_to_server", "server_to_client")
    for f in FRAMES["order_feed"][way]
}


def hsm_frame(scenario: str, step: str) -> bytes:
    """Bytes of one step."""
    return next(bytes.fromhex(s["hex"]) for s in SCENARIOS[scenario]["steps"] if s["name"] == step)


def sfeed_frame(name: str) -> bytes:
    return bytes.fromhex(SFEED[name]["hex"])
