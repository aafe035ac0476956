"""The golden packets, one file for the adapter's codec and this one (invented instruments and values)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_DATA = Path(__file__).parents[2] / "dhan" / "data" / "dhan-packets.json"
_RAW = json.loads(_DATA.read_text())
VECTORS: list[dict[str, Any]] = _RAW["vectors"]
FRAMES: list[dict[str, Any]] = _RAW["frames"]
BY_ID = {vector["id"]: vector for vector in VECTORS}
CLIENT: dict[str, dict[str, Any]] = {message["id"]: message for message in _RAW["client_to_server"]}


def of(feed: str, *codes: int) -> list[str]:
    """Ids of the vectors of a feed (``live``, ``depth20``, ``depth200``) with one of the codes."""
    return [v["id"] for v in VECTORS if v["feed"] == feed and v["code"] in codes]
