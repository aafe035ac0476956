"""The one place where tests look at the environment they run in."""

from __future__ import annotations

import os
import shutil

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def in_ci() -> bool:
    """GitHub and others set ``CI=true``: there a missing tool is a failure, not a reason to skip."""
    return os.environ.get("CI", "").lower() == "true"


def chromium() -> str:
    """Path of an installed Chromium; without one the test is skipped, in CI it fails."""
    for name in BROWSERS:
        if found := shutil.which(name):
            return found
    reason = "no Chromium is installed; scripts/test --install-tools installs it"
    if in_ci():
        pytest.fail(reason)
    pytest.skip(reason)


def worker_number() -> int:
    """Which of pytest-xdist's parallel workers this is; 0 without it."""
    digits = "".join(c for c in os.environ.get("PYTEST_XDIST_WORKER", "gw0") if c.isdigit())
    return int(digits or 0)
