"""Where the official clients live: each in its own virtual environment, made by ``scripts/test``."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def client_python(name: str) -> Path:
    """The interpreter of ``.venv-<name>`` (``dhanhq``, ``kotakneoapi``, ``openalgo``)."""
    python = ROOT / f".venv-{name}" / "bin" / "python"
    if not python.exists():
        pytest.fail(f"{python.parent.parent.name} is missing; ./scripts/test makes it")
    return python
