"""Where ``instances/`` and ``db/`` live. Apart from ``settings``: a quick command need not load those."""

from __future__ import annotations

import os
from pathlib import Path


def find_home(given: str | None, start: Path | None = None) -> Path:
    """``--home``, else ``ALGO_HOME``, else the nearest folder upward with ``instances/``, else ``~/algo``."""
    named = given or os.environ.get("ALGO_HOME")
    if named:
        return Path(named).expanduser().resolve()
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "instances").is_dir():
            return folder
    return Path.home() / "algo"
