"""``algo run``: one process in the foreground, for service managers."""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from dataclasses import replace
from pathlib import Path

import click

from brokers.errors import SettingsError
from brokers.venue import Venue
from gateway import settings as gateway_settings
from gateway.home import ServiceManager, service_manager
from supervisor import plan, preflight, services
from supervisor.children import child, probe
from supervisor.operations import checkup
from supervisor.running import CommandFailed
from supervisor.state import running_venue

ROLES = ("api", "feed", "sim")
STOP_S = 8.0
LOOK_S = 0.2
PROBE_S = 2.0


@click.command()
@click.argument("name")
@click.argument("role", type=click.Choice(ROLES), required=False)
@click.option("--sim", is_flag=True, help="On simulated brokers.")
@click.option("--bind", default="", help="Listen on this address instead of the env file's (containers).")
@click.option("--allow-host", multiple=True, help="A further name clients may use for it.")
@click.option("--by-name", is_flag=True, help="Services: reach instances by their names (containers).")
@click.pass_obj
def run(
    home: Path,
    name: str,
    role: str | None,
    sim: bool,
    bind: str,
    allow_host: tuple[str, ...],
    by_name: bool,
) -> None:
    """One process of an instance, or a service of all of them (historify), in the foreground.

    It is what a service manager starts. See `algo export`.

    Tells systemd when it is ready and, as long as its health page answers, that it lives. Ends with the
    process's exit code: 2 wrong settings and 3 port taken are never worth a restart.
    """
    venue = Venue.SIM if sim else Venue.LIVE
    if running_venue(home) is not None:
        raise SettingsError("`algo up` runs instances of this home; the two do not mix: algo down first")
    specs = _of_instance(home, name, venue) if role else _of_home(home, venue, by_name)
    for found in checkup.machine(home):
        click.echo(f"note: {found.what}; {found.mend}", err=True)
    spec = next((s for s in specs if (s.role if role else s.key) == (role or name)), None)
    if spec is None and role:
        raise SettingsError(f"{name} has no {role} process without --sim")
    if spec is None:
        known = ", ".join(s.key for s in specs) or "none"
        raise SettingsError(f"{name}: say which process, {' | '.join(ROLES)}, or name a service ({known})")
    if role:
        spec = plan.reachable_from_outside(spec, bind, allow_host)
    preflight.check_ports([spec])
    try:
        handle = child.spawn(spec, own_log=False)
    except OSError as exc:
        raise CommandFailed(str(exc)) from exc
    raise click.exceptions.Exit(_watch(spec, handle))


def _of_instance(home: Path, name: str, venue: Venue) -> list[plan.ChildSpec]:
    return plan.children([gateway_settings.load(home, name, venue)], plan.UpOptions())


def _of_home(home: Path, venue: Venue, by_name: bool) -> list[plan.ChildSpec]:
    """The services of every instance that has an env file."""
    everyone = [gateway_settings.load(home, n, venue) for n in gateway_settings.instance_names(home)]
    if by_name:
        everyone = [replace(one, host=one.name) for one in everyone]
    return services.alone(everyone)


def _watch(spec: plan.ChildSpec, handle: child.Handle) -> int:
    """Until the process ends; returns its exit code. Signals are passed on."""
    stopping: list[float] = []

    def stop(*_: object) -> None:
        stopping.append(time.monotonic())
        handle.terminate()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    ready = False
    manager = service_manager()
    # half the time it gives between two signs of life
    every_s, next_s = manager.watchdog_s / 2 or 5.0, 0.0
    while (code := handle.code()) is None:
        now = time.monotonic()
        if stopping and now - stopping[0] > STOP_S:
            handle.kill()
        if now >= next_s and not stopping:
            with contextlib.suppress(OSError):
                answer = probe.ask(spec.health_url, PROBE_S)
                if not ready and (answer.ready or spec.role == "api"):
                    ready = True
                    _notify(manager, "READY=1")
                _notify(manager, "WATCHDOG=1")
            next_s = now + (every_s if ready else LOOK_S)
        time.sleep(LOOK_S)
    return code if code >= 0 else 128 - code


def _notify(manager: ServiceManager, word: str) -> None:
    """Systemd's sd_notify: one datagram to the socket it names."""
    if manager.socket:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.sendto(word.encode(), manager.socket)
