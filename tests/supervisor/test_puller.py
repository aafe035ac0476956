"""Whose broker fills the market-data store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from brokers import registry
from brokers.errors import SettingsError
from supervisor import puller
from tests.supervisor.test_plan import make


def test_the_broker_with_the_most_history_pulls_alone(tmp_path: Path) -> None:
    pair = [make(tmp_path, "kotak"), make(tmp_path, "dhan")]
    [one] = puller.candidates(pair)
    assert (one.instance, one.broker, one.api, one.standby) == (
        "dhan",
        "dhan",
        "http://127.0.0.1:5001",
        False,
    )
    assert [one.instance for one in puller.candidates(pair[:1])] == ["kotak"]


def test_named_ones_in_their_order_the_later_as_standbys(tmp_path: Path) -> None:
    pair = [make(tmp_path, "kotak", HISTORIFY_PULLER="kotak,dhan"), make(tmp_path, "dhan")]
    assert [(c.instance, c.standby) for c in puller.candidates(pair)] == [("kotak", False), ("dhan", True)]
    # the designated one does not run: the standby is the best there is
    assert [(c.instance, c.standby) for c in puller.candidates([pair[0]])] == [("kotak", False)]


def test_the_command_line_counts_before_the_files(tmp_path: Path) -> None:
    pair = [make(tmp_path, "kotak"), make(tmp_path, "dhan", HISTORIFY_PULLER="dhan")]
    assert [c.instance for c in puller.candidates(pair, "kotak")] == ["kotak"]
    with pytest.raises(SettingsError, match="--puller upstox: no such instance is started"):
        puller.candidates(pair, "upstox")


def test_a_role_is_a_name_and_a_reader_never_pulls(tmp_path: Path) -> None:
    kotak = make(tmp_path, "kotak", HISTORIFY_ROLE="puller")
    dhan = make(tmp_path, "dhan", HISTORIFY_ROLE="reader")
    assert [c.instance for c in puller.candidates([kotak, dhan])] == ["kotak"]
    assert puller.candidates([dhan]) == ()


@pytest.mark.parametrize(
    ("kotak", "dhan"),
    [
        ({"HISTORIFY_PULLER": "kotak"}, {"HISTORIFY_PULLER": "dhan"}),
        ({"HISTORIFY_PULLER": "kotak,dhan"}, {"HISTORIFY_PULLER": "dhan,kotak"}),
        ({"HISTORIFY_ROLE": "puller"}, {"HISTORIFY_ROLE": "puller"}),
        ({"HISTORIFY_ROLE": "reader"}, {"HISTORIFY_PULLER": "kotak"}),
    ],
)
def test_files_that_contradict_each_other_are_named_with_their_lines(
    tmp_path: Path, kotak: dict[str, str], dhan: dict[str, str]
) -> None:
    pair = [make(tmp_path, "kotak", **kotak), make(tmp_path, "dhan", **dhan)]
    with pytest.raises(SettingsError) as caught:
        puller.candidates(pair)
    assert "instances/kotak.env line" in str(caught.value)
    assert "instances/dhan.env line" in str(caught.value)


def test_one_thing_said_twice_is_no_contradiction(tmp_path: Path) -> None:
    pair = [make(tmp_path, name, HISTORIFY_PULLER="kotak,dhan") for name in ("kotak", "dhan")]
    assert len(puller.candidates(pair)) == 2


def test_a_broker_without_history_is_never_chosen() -> None:
    spec = registry.spec("dhan")
    none = replace(spec, capabilities=replace(spec.capabilities, history_exchanges=frozenset()))
    assert puller.has_history(spec)
    assert not puller.has_history(none)
    assert puller.wealth(spec) > puller.wealth(registry.spec("kotak"))
