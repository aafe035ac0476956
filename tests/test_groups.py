"""The suite's own footing: tests that share a set-up run in one worker, or every set-up runs in each."""

from __future__ import annotations

import pytest


@pytest.mark.xdist_group("groups")
def test_a_group_of_tests_stays_in_one_worker(request: pytest.FixtureRequest) -> None:
    if not getattr(request.config.option, "loadgroup", False):
        pytest.skip("not run with --dist loadgroup")
    assert request.node.nodeid.endswith("@groups"), "pytest-xdist and this pytest do not fit"
