"""Writes an instance's env file: fresh, or as the repository's example. See ``takeover`` for OpenAlgo's."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Container, Mapping
from pathlib import Path

from brokers import registry
from brokers.contract import BrokerSpec
from brokers.errors import SettingsError
from gateway.settings import (
    FIRST_PORTS,
    FIXED_STEP,
    NAME,
    EnvFile,
    day,
    feed,
    instance_names,
    latency,
    limits,
    logs,
    risk,
    route,
    sandbox,
    store,
)

HEADER = """\
# {title}: one instance of algo. Only you may read this file (mode 0600); it holds credentials.
# Start it with `algo up {name}`, or without an account on simulated data with `algo up {name} --sim`.
"""
SUBJECTS = (feed, risk, sandbox, logs, limits, day, store, latency, route)
"""Each says what an env file may hold about it."""
OPTIONAL = """
# Optional; the values shown are the defaults.
# SYMBOLS=NSE:SBIN,NSE:RELIANCE   # subscribed from the start
# ORDER_RATE_LIMIT=10 per second
# API_RATE_LIMIT=50 per second
# WEBHOOK_RATE_LIMIT=100 per minute
# ORDER_MODE=auto   # semi_auto: orders wait for your word, see `algo approvals`
# GTT_MISSED=tell  # fire: also send a GTT whose price was reached while the gateway was down and is gone
# LOG_LEVEL=INFO
# HOOK_COMMAND=notify-send algo    # told of failures, logins needed, mute feeds … as JSON on standard input
# HOOK_URL=https://…               # the same as a POST
# HOST_SERVER=http://127.0.0.1:{port}   # public address, if a proxy stands in front
"""


def fresh(name: str, broker: BrokerSpec, ports: Mapping[str, int], secret: Callable[[], str]) -> str:
    """Text of a new env file.

    Args:
        ports: ``FLASK_PORT``, ``WEBSOCKET_PORT``, ``ZMQ_PORT``.
        secret: Makes one signing secret (a placeholder for the repository's examples).
    """
    lines = [HEADER.format(title=broker.title, name=name), f"BROKER={broker.name}", ""]
    for credential in broker.credentials:
        lines.append(f"# {credential.env}: {credential.where}")
        value = f"{credential.env}=YOUR_{credential.env}"
        lines.append(value if credential.required else f"# {value}")
    lines += ["", "# Ports of this instance; no other instance may have the same."]
    lines += [f"{key}={port}" for key, port in ports.items()]
    lines += ["", "# Signing secrets of this instance. Do not copy them to another one."]
    lines += [f"{key}={secret()}" for key in ("APP_KEY", "API_KEY_PEPPER", "FERNET_SALT")]
    if broker.options:
        lines += ["", f"# {broker.title} options; the values shown are the defaults."]
        lines += [f"# {key}={value}" for key, value in broker.options.items()]
    optional = OPTIONAL.format(port=ports["FLASK_PORT"])
    return "\n".join([*lines, optional, *(part.EXAMPLE for part in SUBJECTS)])


def example(broker: BrokerSpec) -> str:
    """The committed ``instances/<broker>.env.example``."""
    ports = {key: first + FIXED_STEP[broker.name] for key, first in FIRST_PORTS.items()}
    return fresh(broker.name, broker, ports, lambda: "YOUR_FRESH_SECRET_FROM_algo_init")


def claimed_ports(home: Path, name: str) -> set[int]:
    """Ports the env files of other instances name."""
    claimed: set[int] = set()
    for other in instance_names(home):
        if other == name:
            continue
        env = EnvFile.read(home / "instances" / f"{other}.env", home)
        step = FIXED_STEP.get(other, 0)
        claimed.update(env.port(key, first + step) for key, first in FIRST_PORTS.items())
    return claimed


def free_ports(home: Path, name: str) -> dict[str, int]:
    """The fixed ports of kotak and dhan; for others the first step no env file claims."""
    if name in FIXED_STEP:
        return {key: first + FIXED_STEP[name] for key, first in FIRST_PORTS.items()}
    return next_ports(claimed_ports(home, name))


def next_ports(claimed: Container[int]) -> dict[str, int]:
    """The first step of which nobody has claimed a port."""
    step = max(FIXED_STEP.values()) + 1
    while any(first + step in claimed for first in FIRST_PORTS.values()):
        step += 1
    return {key: first + step for key, first in FIRST_PORTS.items()}


def create(home: Path, name: str, broker: str | None, values: Mapping[str, str] | None = None) -> Path:
    """Write ``instances/<name>.env`` with free ports and fresh secrets.

    Args:
        values: Credentials and settings known already.

    Raises:
        SettingsError: The name is not one, the broker is unknown, or the file exists.
    """
    check_name(name)
    spec = spec_of(name, broker)
    text = fresh(name, spec, free_ports(home, name), lambda: secrets.token_hex(32))
    return write(home, name, fill(text, values or {}))


def spec_of(name: str, broker: str | None) -> BrokerSpec:
    """Of the broker named, else of the broker the instance is named after. Raises ``SettingsError``."""
    try:
        return registry.spec(broker or name)
    except SettingsError as exc:
        hint = "" if broker else f"; say which broker it is: algo init {name} --broker dhan"
        raise SettingsError(f"{exc}{hint}") from exc


def fill(text: str, values: Mapping[str, str]) -> str:
    """Put values where their names stand, commented out or not; at the end where they do not."""
    for key, value in values.items():
        line = f"{key}={_quoted(value)}"
        found = re.compile(rf"(?m)^[ \t]*(?:#[ \t]*)?{re.escape(key)}=.*$")
        text, count = found.subn(line.replace("\\", r"\\"), text, count=1)
        if not count:
            text = f"{text.rstrip()}\n{line}\n"
    return text


def _quoted(value: str) -> str:
    """As an env file needs it: a value with blanks, quotes or # in single quotes."""
    if re.fullmatch(r"[\w.:/+@%,=-]*", value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def check_name(name: str) -> None:
    """Raises ``SettingsError``."""
    if not NAME.match(name):
        raise SettingsError(f"'{name}' is not an instance name (lower case letters, digits and _)")


def write(home: Path, name: str, text: str) -> Path:
    """Make ``instances/<name>.env``, readable by its owner only. Raises ``SettingsError`` when it exists."""
    path = home / "instances" / f"{name}.env"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as exc:
        raise SettingsError(f"instances/{name}.env exists already; edit it, or remove it first") from exc
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    return path
