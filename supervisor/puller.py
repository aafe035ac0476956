"""Pure: which instance's broker fills the market-data store, and which stand by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from brokers.contract import BrokerSpec
from brokers.errors import SettingsError
from gateway.settings import Settings
from supervisor.plan import api_url


@dataclass(frozen=True, slots=True)
class Candidate:
    """One instance the store may be filled through. ``standby``: only when those before it cannot."""

    instance: str
    broker: str
    api: str
    standby: bool

    def to_plain(self) -> dict[str, object]:
        return {n: getattr(self, n) for n in ("instance", "broker", "api", "standby")}


def candidates(instances: Sequence[Settings], asked: str = "") -> tuple[Candidate, ...]:
    """Whom to pull through, best first; empty when none of these instances can or may.

    ``algo up --puller`` counts first, then ``HISTORIFY_PULLER``, then ``HISTORIFY_ROLE=puller``, else the one
    instance whose broker has the most history. Instances that are named and do not run are left out.

    Args:
        asked: The instance named on the command line.

    Raises:
        SettingsError: Two env files name different pullers, or one that reads only; with both lines.
    """
    by_name = {one.name: one for one in instances}
    if asked:
        if asked not in by_name:
            raise SettingsError(
                f"--puller {asked}: no such instance is started (there are {_names(by_name)})"
            )
        if not has_history(by_name[asked].spec):
            raise SettingsError(f"--puller {asked}: {by_name[asked].spec.title} has no history to pull")
        named: tuple[str, ...] = (asked,)
    else:
        named = _named(instances)
    chosen = [by_name[name] for name in named if name in by_name]
    if not named:
        willing = [one for one in instances if one.store.role != "reader" and has_history(one.spec)]
        chosen = sorted(willing, key=lambda one: -wealth(one.spec))[:1]
    return tuple(
        Candidate(one.name, one.broker, api_url(one), standby=number > 0) for number, one in enumerate(chosen)
    )


def has_history(spec: BrokerSpec) -> bool:
    """Whether a broker answers the two intervals the store keeps."""
    return bool(spec.capabilities.history_exchanges) and {"1m", "D"} <= set(spec.capabilities.intervals)


def wealth(spec: BrokerSpec) -> int:
    """How much history a broker has, to compare: the exchanges it covers."""
    return len(spec.capabilities.history_exchanges)


def _named(instances: Sequence[Settings]) -> tuple[str, ...]:
    """What the env files say, which must be one thing."""
    said = [
        (one.store.pullers, one.where("HISTORIFY_PULLER"), "HISTORIFY_PULLER=" + ",".join(one.store.pullers))
        for one in instances
        if one.store.pullers
    ]
    said += [
        ((one.name,), one.where("HISTORIFY_ROLE"), f"HISTORIFY_ROLE=puller of {one.name}")
        for one in instances
        if one.store.role == "puller" and not any(one.name in names for names, _, _ in said)
    ]
    for names, where, text in said[1:]:
        if names != said[0][0]:
            raise SettingsError(
                f"two pullers for one market-data store: {said[0][1]} ({said[0][2]}) and {where} ({text}); "
                "name one, its standbys after it: HISTORIFY_PULLER=dhan,kotak"
            )
    if not said:
        return ()
    names, where, _ = said[0]
    readers = [one for one in instances if one.name in names and one.store.role == "reader"]
    for one in readers:
        raise SettingsError(
            f"{where}: HISTORIFY_PULLER names {one.name}, but {one.where('HISTORIFY_ROLE')} says "
            "HISTORIFY_ROLE=reader"
        )
    lacking = [one for one in instances if one.name in names and not has_history(one.spec)]
    for one in lacking:
        raise SettingsError(f"{where}: {one.name} is of {one.spec.title}, which has no history to pull")
    return names


def _names(by_name: dict[str, Settings]) -> str:
    return ", ".join(by_name) or "none"
