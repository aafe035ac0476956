"""The processes a home has once, beside its instances: the store's puller, the fleet page, the route.

A service is a function from the running instances to a ``ChildSpec``, or None when it is not wanted. Its
configuration is a file the supervisor writes before each start; when it would read differently (another
instance came or went), the process is started anew with it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from brokers.errors import SettingsError
from brokers.model import Venue
from gateway.settings import Settings
from gateway.settings.store import URL_NAMES
from supervisor import puller
from supervisor.plan import ChildSpec, ConfigFile, PortClaim, UpOptions
from supervisor.plan import children as instance_children

T = TypeVar("T")
Service = Callable[[Sequence[Settings], UpOptions], "ChildSpec | None"]
HISTORIFY = "historify"
CONSOLE = "console"
ROUTE = "route"


def historify(instances: Sequence[Settings], options: UpOptions) -> ChildSpec | None:
    """The process that fills the store; None where every instance only reads it.

    Raises:
        SettingsError: The env files contradict each other.
    """
    chosen = puller.candidates(instances, options.puller)
    if not chosen and all(one.store.role == "reader" for one in instances):
        return None
    run = instances[0].run_dir
    port, where = shared_value(instances, "HISTORIFY_PORT", lambda one: one.store.port)
    publish_s, _ = shared_value(instances, "HISTORIFY_PUBLISH_SECONDS", lambda one: one.store.publish_s)
    always = any(
        one.venue is Venue.SIM and (options.sim_hours or one.sim_hours) == "always" for one in instances
    )
    config = {
        "store": store_of(instances),
        "venue": instances[0].venue.value,
        "hours": "always" if always else "nse",
        "publish_seconds": publish_s,
        "port": port,
        "secret_file": str(run / "historify.key"),
        "candidates": [one.to_plain() for one in chosen],
    }
    return service(HISTORIFY, instances, port, ("HISTORIFY_PORT", where), config)


def console(instances: Sequence[Settings], options: UpOptions) -> ChildSpec:  # noqa: ARG001 - a Service
    """The fleet page. Its configuration names no instance: it asks which there are.

    Raises:
        SettingsError: The env files name two ports.
    """
    one = instances[0]
    port, where = shared_value(instances, "CONSOLE_PORT", lambda each: each.store.console_port)
    config = {
        "home": str(one.home),
        "venue": one.venue.value,
        "port": port,
        "hosts": sorted({name for each in instances for name in each.allowed_hosts}),
    }
    return service(CONSOLE, instances, port, ("CONSOLE_PORT", where), config)


def route(instances: Sequence[Settings], options: UpOptions) -> ChildSpec | None:
    """The one address for orders; None unless it is asked for and one of its instances runs.

    Named instances that do not run stay in its order: it must know that they exist, because they may hold
    what an order would close.

    Raises:
        SettingsError: The env files contradict each other.
    """
    names, where = shared_value(instances, "ROUTE", lambda one: one.route.names)
    names = options.route or names
    if not names or not any(one.name in names for one in instances):
        return None
    data, said = shared_value(instances, "ROUTE_DATA", lambda one: one.route.data)
    if data and data not in names:
        raise SettingsError(f"{said}: ROUTE_DATA is {data}, expected one of the route: {','.join(names)}")
    port, line = shared_value(instances, "ROUTE_PORT", lambda one: one.route.port)
    one = instances[0]
    config = {
        "home": str(one.home),
        "venue": one.venue.value,
        "port": port,
        "instances": list(names),
        "data": data or names[0],
        "hosts": sorted({"127.0.0.1", "localhost", "::1"}),
    }
    return service(ROUTE, instances, port, ("ROUTE_PORT", line or where), config)


SERVICES: tuple[Service, ...] = (historify, console, route)
NEED_A_SUPERVISOR = (CONSOLE, ROUTE)
"""What has nothing to show or do where a service manager or containers look after the processes."""


def children(instances: Sequence[Settings], options: UpOptions) -> list[ChildSpec]:
    """Every service of these instances. Raises ``SettingsError``."""
    if not instances:
        return []
    found = [one for make in SERVICES if (one := make(instances, options)) is not None]
    _check_ports(found, instances)
    return found


def alone(instances: Sequence[Settings]) -> list[ChildSpec]:
    """The services that run without a supervisor, too. Raises ``SettingsError``."""
    return [one for one in children(instances, UpOptions()) if one.key not in NEED_A_SUPERVISOR]


def same(running: ChildSpec, wanted: ChildSpec | None) -> bool:
    """Whether a process may stay as it was started."""
    return wanted is not None and (running.argv, running.config) == (wanted.argv, wanted.config)


def as_written(spec: ChildSpec) -> ChildSpec:
    """The same with the configuration a running process was started with, as far as it can be read."""
    if spec.config is None:
        return spec
    try:
        text = spec.config.path.read_text(encoding="utf-8")
    except OSError:
        return spec
    return replace(spec, config=replace(spec.config, text=text))


def service(
    name: str,
    instances: Sequence[Settings],
    port: int,
    claimed_by: tuple[str, str],
    config: dict[str, Any],
) -> ChildSpec:
    """``python -m <package> --config db[/sim]/run/<name>.json``, healthy on a loopback port of its own.

    Args:
        name: Also the package that runs, and the child's key and role.
        claimed_by: The setting the port comes from and where it stands.
    """
    one = instances[0]
    path = one.run_dir / f"{name}.json"
    return ChildSpec(
        key=name,
        role=name,
        instance="",
        argv=(sys.executable, *PROGRAMS.get(name, ("-m", name)), "--config", str(path)),
        health_url=f"http://127.0.0.1:{port}/health/ready",
        ports=(PortClaim("127.0.0.1", port, *claimed_by),),
        after=(),
        log_path=one.log_dir / f"{name}.log",
        lock_path=one.run_dir / f"{name}.lock",
        cwd=one.home,
        config=ConfigFile(path, json.dumps(config, indent=1) + "\n"),
    )


PROGRAMS: dict[str, tuple[str, ...]] = {
    CONSOLE: ("-m", "supervisor.console"),
    ROUTE: ("-m", "supervisor.routing"),
}
"""What runs a service that is not the package of its own name."""


def store_of(instances: Sequence[Settings]) -> str:
    """The one store of these instances. Raises ``SettingsError`` when their env files name two."""
    first = instances[0]
    for one in instances[1:]:
        if one.store.url != first.store.url:
            raise SettingsError(
                f"instances of one home share one market-data store, but {_store_line(first)} is "
                f"{_shown(first)} and {_store_line(one)} is {_shown(one)}; put the same "
                "HISTORIFY_DATABASE_URL in both"
            )
    return first.store.url


def _store_line(one: Settings) -> str:
    return next((one.source[name] for name in URL_NAMES if name in one.source), one.where(URL_NAMES[0]))


def _shown(one: Settings) -> str:
    """Without the password a server's URL may hold."""
    scheme, found, rest = one.store.url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if found else one.store.url


def shared_value(instances: Sequence[Settings], setting: str, read: Callable[[Settings], T]) -> tuple[T, str]:
    """One value for all, and where it stands; what no file says is the default.

    Raises:
        SettingsError: Two files say different ones.
    """
    saying = [one for one in instances if setting in one.source]
    for one in saying[1:]:
        if read(one) != read(saying[0]):
            raise SettingsError(
                f"{setting} is one for all instances, but {saying[0].where(setting)} says {read(saying[0])} "
                f"and {one.where(setting)} says {read(one)}"
            )
    one = (saying or instances)[0]
    return read(one), one.where(setting)


def _check_ports(specs: Sequence[ChildSpec], instances: Sequence[Settings]) -> None:
    """No service on a port of an instance or of another service."""
    claimed = {
        claim.port: f"{spec.key} {claim.setting}, {claim.where}"
        for one in instances
        for spec in instance_children([one], UpOptions())
        for claim in spec.ports
    }
    for spec in specs:
        for claim in spec.ports:
            mine = f"{spec.key} {claim.setting}, {claim.where}"
            if claim.port in claimed:
                raise SettingsError(f"port {claim.port} is used twice: {claimed[claim.port]} and {mine}")
            claimed[claim.port] = mine
