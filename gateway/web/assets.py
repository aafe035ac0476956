"""The files an instance's pages load; how they are served: ``gateway.pagekit.assets``."""

from __future__ import annotations

from pathlib import Path

from gateway.pagekit import assets
from gateway.pagekit.assets import FOR_GOOD as FOR_GOOD
from gateway.pagekit.assets import PACKED as PACKED

STATIC = Path(__file__).with_name("static")


class Assets(assets.Assets):
    """Every file below one folder, read once. Thread-safe."""

    def __init__(self, folder: Path = STATIC) -> None:
        super().__init__(folder)
