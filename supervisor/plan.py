"""Pure: which processes a set of instances needs, in which order, and what must not clash."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from brokers.errors import SettingsError
from brokers.model import Venue
from gateway.settings import Settings
from gateway.settings.limits import ProcessLimits


@dataclass(frozen=True, slots=True)
class PortClaim:
    """One port a child will bind and the setting it comes from."""

    host: str
    port: int
    setting: str
    where: str


WORKS_HARD = ProcessLimits(memory_mb=1500.0, cpu_percent=0.0)
"""Of what several instances share: a simulated exchange of 200,000 instruments, a download of years."""


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """What a child reads at its start, written by its parent for the owner's eyes only."""

    path: Path
    text: str


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One process to run.

    Attributes:
        key: ``kotak.api``, ``kotak.feed``, ``sim.kotak``, ``historify``.
        instance: Owner; empty for what several instances share (simulated brokers, services).
        after: Keys that must be ready first, and are stopped later.
        health_url: Answers 200 once ready, JSON with what it waits for before that.
        lock_path: Held by the process and what it starts, as long as one of them lives.
        config: Written before each start.
        limits: What it may use before it is called degraded.
        patient: Started at once, because it waits by itself for what is in ``after`` (which then is only the
            order of stopping).
    """

    key: str
    role: str
    instance: str
    argv: tuple[str, ...]
    health_url: str
    ports: tuple[PortClaim, ...]
    after: tuple[str, ...]
    log_path: Path
    lock_path: Path
    cwd: Path
    config: ConfigFile | None = None
    limits: ProcessLimits = WORKS_HARD
    patient: bool = False


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What ``algo up`` adds to the env files."""

    symbols: tuple[str, ...] = ()
    sim_universe: str = ""
    sim_hours: str = ""
    sim_seed: int | None = None
    puller: str = ""
    route: tuple[str, ...] = ()

    def to_plain(self) -> dict[str, object]:
        """As JSON takes it; ``from_plain`` reads it again."""
        return {
            "symbols": list(self.symbols),
            "sim_universe": self.sim_universe,
            "sim_hours": self.sim_hours,
            "sim_seed": self.sim_seed,
            "puller": self.puller,
            "route": list(self.route),
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, object]) -> UpOptions:
        """From what may be an older version's; what is unreadable counts as not given."""
        symbols = plain.get("symbols") or []
        route = plain.get("route") or []
        seed = plain.get("sim_seed")
        return cls(
            symbols=tuple(str(s) for s in symbols) if isinstance(symbols, list) else (),
            sim_universe=str(plain.get("sim_universe") or ""),
            sim_hours=str(plain.get("sim_hours") or ""),
            sim_seed=seed if isinstance(seed, int) else None,
            puller=str(plain.get("puller") or ""),
            route=tuple(str(name) for name in route) if isinstance(route, list) else (),
        )


@dataclass(slots=True)
class _Claims:
    """First claimant of every thing that two instances must not share."""

    seen: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    clashes: list[str] = field(default_factory=list)

    def claim(self, kind: str, value: str, name: str, where: str, shown: str | None = None) -> None:
        first = self.seen.setdefault((kind, value), (name, where))
        if first[0] != name:
            what = shown if shown is not None else value
            self.clashes.append(f"{kind} {what} is used twice: {first[1]} ({first[0]}) and {where} ({name})")


def check_clashes(instances: Sequence[Settings]) -> None:
    """Every instance its own ports, databases, cookies and secrets.

    Raises:
        SettingsError: All clashes in one message, with both files and lines.
    """
    claims = _Claims()
    for one in instances:
        for setting, port in (
            ("FLASK_PORT", one.port),
            ("WEBSOCKET_PORT", one.ws_port),
            ("ZMQ_PORT", one.zmq_port),
        ):
            claims.claim("port", str(port), f"{one.name} {setting}", one.where(setting))
        if one.venue is Venue.SIM:
            claims.claim("port", str(one.sim_port), f"sim.{one.broker} SIM_PORT", "the simulated broker")
        for setting, path in one.databases.sqlite().items():
            claims.claim("database", str(path), f"{one.name} {setting}", one.where(setting))
        for setting, cookie in (
            ("SESSION_COOKIE_NAME", one.session_cookie),
            ("CSRF_COOKIE_NAME", one.csrf_cookie),
        ):
            claims.claim("cookie", cookie, f"{one.name} {setting}", one.where(setting))
        for setting, secret in (("APP_KEY", one.app_key), ("API_KEY_PEPPER", one.pepper)):
            claims.claim(
                "secret", secret.reveal(), f"{one.name} {setting}", one.where(setting), shown="value"
            )
    sim_ports: dict[str, Settings] = {}
    for one in instances:
        first = sim_ports.setdefault(one.broker, one)
        if one.venue is Venue.SIM and first.sim_port != one.sim_port:
            claims.clashes.append(
                f"instances of {one.broker} share one simulated broker but name two SIM_PORTs: "
                f"{first.where('SIM_PORT')} and {one.where('SIM_PORT')}"
            )
    if claims.clashes:
        raise SettingsError("; ".join(claims.clashes))


def children(instances: Sequence[Settings], options: UpOptions) -> list[ChildSpec]:
    """Every process of these instances, dependencies before dependants."""
    specs: dict[str, ChildSpec] = {}
    for one in instances:
        after: tuple[str, ...] = ()
        if one.venue is Venue.SIM:
            sim = _sim_child(one, options)
            specs.setdefault(sim.key, sim)
            after = (sim.key,)
        api = _api_child(one, options, after)
        specs[api.key] = api
        if "feed" in one.roles:
            feed = _feed_child(one, options, (*after, api.key))
            specs[feed.key] = feed
    return list(specs.values())


def sim_argv(
    broker: str, port: int, home: Path, seed: int | None, universe: str, hours: str
) -> tuple[str, ...]:
    """How a simulated broker is started; empty words and None mean its own defaults."""
    argv = [sys.executable, "-m", "brokers.sim", "--broker", broker, "--port", str(port), "--home", str(home)]
    if seed is not None:
        argv += ["--seed", str(seed)]
    return (*argv, "--universe", universe or "small", "--hours", hours or "always")


def _sim_child(one: Settings, options: UpOptions) -> ChildSpec:
    seed = one.sim_seed if options.sim_seed is None else options.sim_seed
    return ChildSpec(
        key=f"sim.{one.broker}",
        role="sim",
        instance="",
        argv=sim_argv(
            one.broker,
            one.sim_port,
            one.home,
            seed,
            options.sim_universe or one.sim_universe,
            options.sim_hours or one.sim_hours,
        ),
        health_url=f"http://127.0.0.1:{one.sim_port}/_sim/health",
        ports=(PortClaim("127.0.0.1", one.sim_port, "SIM_PORT", one.where("SIM_PORT")),),
        after=(),
        log_path=one.log_dir / f"sim.{one.broker}.log",
        lock_path=one.log_dir.parent / "run" / f"sim.{one.broker}.lock",
        cwd=one.home,
    )


def _api_child(one: Settings, options: UpOptions, after: tuple[str, ...]) -> ChildSpec:
    return ChildSpec(
        key=f"{one.name}.api",
        role="api",
        instance=one.name,
        argv=_gateway("api", one, options),
        health_url=f"{api_url(one)}/health/ready",
        ports=(PortClaim(one.host, one.port, "FLASK_PORT", one.where("FLASK_PORT")),),
        after=after,
        log_path=one.log_dir / f"{one.name}.api.log",
        lock_path=one.log_dir.parent / "run" / f"{one.name}.api.lock",
        cwd=one.home,
        limits=one.limits,
        patient=True,
    )


def _feed_child(one: Settings, options: UpOptions, after: tuple[str, ...]) -> ChildSpec:
    argv = _gateway("feed", one, options)
    if options.symbols:
        argv = (*argv, "--symbols", ",".join(options.symbols))
    return ChildSpec(
        key=f"{one.name}.feed",
        role="feed",
        instance=one.name,
        argv=argv,
        health_url=f"http://{_reachable(one.ws_host)}:{one.ws_port}/health/ready",
        ports=(
            PortClaim(one.ws_host, one.ws_port, "WEBSOCKET_PORT", one.where("WEBSOCKET_PORT")),
            PortClaim(one.zmq_host, one.zmq_port, "ZMQ_PORT", one.where("ZMQ_PORT")),
        ),
        after=after,
        log_path=one.log_dir / f"{one.name}.feed.log",
        lock_path=one.log_dir.parent / "run" / f"{one.name}.feed.lock",
        cwd=one.home,
        limits=replace(
            one.limits,
            memory_mb=one.stream.thresholds["memory"][1],
            cpu_percent=one.stream.thresholds["cpu"][1],
        ),
        patient=True,
    )


def _gateway(role: str, one: Settings, options: UpOptions) -> tuple[str, ...]:
    hours = ("--sim-hours", options.sim_hours) if options.sim_hours else ()
    return (
        sys.executable,
        "-m",
        "gateway",
        role,
        "--home",
        str(one.home),
        "--instance",
        one.name,
        "--venue",
        one.venue.value,
        *hours,
    )


def api_url(one: Settings) -> str:
    """Where processes of this machine reach an instance's api."""
    return f"http://{_reachable(one.host)}:{one.port}"


def _reachable(host: str) -> str:
    return "127.0.0.1" if host in ("0.0.0.0", "::", "") else host


def reachable_from_outside(spec: ChildSpec, bind: str, hosts: Sequence[str]) -> ChildSpec:
    """The same process on another address, under further names: what a container needs."""
    more = [*(("--bind", bind) if bind else ()), *(word for h in hosts for word in ("--allow-host", h))]
    if not more or spec.role == "sim":
        return spec
    ports = tuple(replace(claim, host=bind) if bind else claim for claim in spec.ports)
    return replace(spec, argv=(*spec.argv, *more), ports=ports)


def ordered(specs: Iterable[ChildSpec]) -> list[ChildSpec]:
    """Dependencies first; the reverse is the order of stopping."""
    left = list(specs)
    keys = {s.key for s in left}
    done: list[ChildSpec] = []
    while left:
        ready = [s for s in left if all(a not in keys or any(d.key == a for d in done) for a in s.after)]
        if not ready:
            raise SettingsError("circular start order: " + ", ".join(s.key for s in left))
        done += ready
        left = [s for s in left if s not in ready]
    return done
