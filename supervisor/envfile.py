"""Writes an instance's env file: fresh, as an example, or taken over from an OpenAlgo ``.env``."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from brokers import registry
from brokers.contract import BrokerSpec
from brokers.errors import SettingsError
from gateway import feedsettings, logsettings, risksettings, sandboxsettings
from gateway.settings import FIRST_PORTS, FIXED_STEP, NAME, PLACEHOLDER, EnvFile, instance_names

HEADER = """\
# {title}: one instance of algo. Only you may read this file (mode 0600); it holds credentials.
# Start it with `algo up {name}`, or without an account on simulated data with `algo up {name} --sim`.
"""
OPTIONAL = """
# Optional; the values shown are the defaults.
# SYMBOLS=NSE:SBIN,NSE:RELIANCE   # subscribed from the start
# ORDER_RATE_LIMIT=10 per second
# API_RATE_LIMIT=50 per second
# WEBHOOK_RATE_LIMIT=100 per minute
# ORDER_MODE=auto   # semi_auto: orders wait for your word, see `algo approvals`
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
    parts = (feedsettings, risksettings, sandboxsettings, logsettings)
    return "\n".join([*lines, optional, *(part.EXAMPLE for part in parts)])


def example(broker: BrokerSpec) -> str:
    """The committed ``instances/<broker>.env.example``."""
    ports = {key: first + FIXED_STEP[broker.name] for key, first in FIRST_PORTS.items()}
    return fresh(broker.name, broker, ports, lambda: "YOUR_FRESH_SECRET_FROM_algo_init")


def free_ports(home: Path, name: str) -> dict[str, int]:
    """The fixed ports of kotak and dhan; for others the first step no env file claims."""
    if name in FIXED_STEP:
        return {key: first + FIXED_STEP[name] for key, first in FIRST_PORTS.items()}
    claimed: set[int] = set()
    for other in instance_names(home):
        if other == name:
            continue
        env = EnvFile.read(home / "instances" / f"{other}.env", home)
        step = FIXED_STEP.get(other, 0)
        claimed.update(env.port(key, first + step) for key, first in FIRST_PORTS.items())
    step = max(FIXED_STEP.values()) + 1
    while any(first + step in claimed for first in FIRST_PORTS.values()):
        step += 1
    return {key: first + step for key, first in FIRST_PORTS.items()}


def create(home: Path, name: str, broker: str | None) -> Path:
    """Write ``instances/<name>.env`` with free ports and fresh secrets.

    Raises:
        SettingsError: The name is not one, the broker is unknown, or the file exists.
    """
    _check_name(name)
    try:
        spec = registry.spec(broker or name)
    except SettingsError as exc:
        hint = "" if broker else f"; say which broker it is: algo init {name} --broker dhan"
        raise SettingsError(f"{exc}{hint}") from exc
    text = fresh(name, spec, free_ports(home, name), lambda: secrets.token_hex(32))
    return _write(home, name, text)


def adopt(home: Path, name: str, source: Path) -> Path:
    """Take over an OpenAlgo ``.env``: every line is kept; secrets that are placeholders or missing are made.

    Raises:
        SettingsError: The source is missing or the target exists.
    """
    _check_name(name)
    if not source.is_file():
        raise SettingsError(f"{source} does not exist")
    text = source.read_text(encoding="utf-8")
    for key in ("APP_KEY", "API_KEY_PEPPER", "FERNET_SALT"):
        match = re.search(rf"(?m)^\s*{key}\s*=\s*['\"]?([^'\"\n#]*)['\"]?.*$", text)
        value = match.group(1).strip() if match else ""
        if not value or PLACEHOLDER.match(value):
            line = f"{key}={secrets.token_hex(32)}"
            text = (
                text[: match.start()] + line + text[match.end() :] if match else f"{text.rstrip()}\n{line}\n"
            )
    return _write(home, name, text)


def _check_name(name: str) -> None:
    if not NAME.match(name):
        raise SettingsError(f"'{name}' is not an instance name (lower case letters, digits and _)")


def _write(home: Path, name: str, text: str) -> Path:
    path = home / "instances" / f"{name}.env"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as exc:
        raise SettingsError(f"instances/{name}.env exists already; edit it, or remove it first") from exc
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    return path
