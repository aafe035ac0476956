"""``algo sim``: simulated brokers without gateways."""

from __future__ import annotations

import time
from pathlib import Path

import click

from brokers import registry
from brokers.sim import settings as sim_settings
from supervisor import plan, preflight
from supervisor.children import probe
from supervisor.children.child import Handle, spawn
from supervisor.client import CommandFailed
from supervisor.logfile import last_lines

READY_DEADLINE_S = 30.0


@click.command()
@click.argument("brokers", nargs=-1, metavar="[BROKER]...")
@click.option("--port", "ports", multiple=True, type=int, help="Port, in the order of the brokers.")
@click.option("--seed", default=1, show_default=True, help="Seed of the prices.")
@click.option("--universe", type=click.Choice(["small", "full"]), default="small", show_default=True)
@click.option("--hours", type=click.Choice(["always", "nse"]), default="always", show_default=True)
@click.pass_obj
def sim(
    home: Path, brokers: tuple[str, ...], ports: tuple[int, ...], seed: int, universe: str, hours: str
) -> None:
    """Simulated brokers alone, in the foreground, for use by other programs.

    Each speaks its broker's own REST, WebSocket and file formats on one loopback port; faults are switched on
    at /_sim/faults. Ctrl-C ends them.
    """
    specs = []
    for number, name in enumerate(brokers or registry.names()):
        broker = registry.spec(name)
        port = ports[number] if number < len(ports) else sim_settings.PORTS[broker.name]
        specs.append(_spec(home, broker.name, port, seed, universe, hours))
    preflight.check_ports(specs)
    handles: list[Handle] = []
    try:
        for spec in specs:
            handles.append(spawn(spec))
        for spec, handle in zip(specs, handles, strict=True):
            _wait(spec, handle)
            _show(spec)
        while all(handle.identity.process() is not None for handle in handles):
            time.sleep(0.5)
        raise CommandFailed("a simulated broker ended; see its log")
    except KeyboardInterrupt:
        click.echo("\nstopping…")
    finally:
        for handle in handles:
            handle.terminate()
        for handle in handles:
            handle.wait(5.0)


def _spec(home: Path, broker: str, port: int, seed: int, universe: str, hours: str) -> plan.ChildSpec:
    claim = plan.PortClaim("127.0.0.1", port, "--port", "command line")
    return plan.ChildSpec(
        key=f"sim.{broker}",
        role="sim",
        instance="",
        argv=plan.sim_argv(broker, port, home, seed, universe, hours),
        health_url=f"http://127.0.0.1:{port}/_sim/health",
        ports=(claim,),
        after=(),
        log_path=home / "db" / "sim" / "log" / f"sim.{broker}.log",
        lock_path=home / "db" / "sim" / "run" / f"sim.{broker}.{port}.lock",
        cwd=home,
    )


def _wait(spec: plan.ChildSpec, handle: Handle) -> None:
    deadline = time.monotonic() + READY_DEADLINE_S
    while time.monotonic() < deadline and handle.identity.process() is not None:
        try:
            if probe.ask(spec.health_url, 2.0).ready:
                return
        except OSError:
            time.sleep(0.05)
    tail = "\n".join(last_lines(spec.log_path, 10))
    raise CommandFailed(f"{spec.key} did not start; last lines of {spec.log_path}:\n{tail}")


def _show(spec: plan.ChildSpec) -> None:
    broker = registry.spec(spec.key.removeprefix("sim."))
    port = spec.ports[0].port
    click.echo(f"{broker.title} (simulated) on http://127.0.0.1:{port}")
    for name, url in sim_settings.endpoints(broker.sim_paths, port).items():
        click.echo(f"  {name:14} {url}")
    for key, value in sim_settings.credentials(broker.name, broker.name).items():
        click.echo(f"  {key:22} {value}")
