"""The campaigns of the writer at a small count; ``scripts/campaign history_kill`` and ``history_ghost``."""

from __future__ import annotations

import os

import pytest

from scripts.campaigns import history_ghost, history_kill

pytestmark = pytest.mark.skipif(os.name == "nt", reason="SIGKILL, SIGSTOP")


def test_a_writer_killed_at_any_moment_leaves_whole_batches_and_no_strays(tmp_path):
    figures = history_kill.run(tmp_path, kills=12, seed=2)
    assert figures.acknowledged > 12


def test_a_writer_that_slept_through_a_takeover_publishes_nothing(tmp_path):
    assert history_ghost.run(tmp_path, rounds=5, seed=2).fenced == 5
