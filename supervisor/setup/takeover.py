"""An OpenAlgo env file becomes an instance's: every line is kept, but for what two instances cannot share.

Ports, database files, cookie names and secrets that another instance has, that lie in OpenAlgo's own folder
or that everybody knows, are replaced; each change is said.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from brokers.errors import SettingsError
from gateway.settings import (
    FIRST_PORTS,
    FIXED_STEP,
    PLACEHOLDER,
    PUBLIC_SAMPLES,
    EnvFile,
    instance_names,
)
from supervisor.setup import envfile
from supervisor.setup.openalgo import Installation

SECRETS = ("APP_KEY", "API_KEY_PEPPER", "FERNET_SALT")
COOKIES = ("SESSION_COOKIE_NAME", "CSRF_COOKIE_NAME")
DATABASES = (
    "DATABASE_URL",
    "LOGS_DATABASE_URL",
    "LATENCY_DATABASE_URL",
    "SANDBOX_DATABASE_URL",
    "HISTORIFY_DATABASE_URL",
)
SHARED = "HISTORIFY_DATABASE_URL"
SHORTEST = 32


@dataclass(slots=True)
class Draft:
    """The text on its way, and what was changed."""

    text: str
    notes: list[str] = field(default_factory=list)

    def values(self) -> dict[str, str]:
        return dict(Installation("", Path(), self.text).values)

    def put(self, key: str, value: str, why: str) -> None:
        line = re.compile(rf"(?m)^[ \t]*(?:export[ \t]+)?{key}[ \t]*=.*$")
        new = f"{key}={value}"
        self.text, count = line.subn(lambda _: new, self.text)
        if not count:
            self.text = f"{self.text.rstrip()}\n{new}\n"
        self.notes.append(why)

    def drop(self, key: str, why: str) -> None:
        """Comment it out: the default of this instance holds."""
        line = re.compile(rf"(?m)^[ \t]*(?:export[ \t]+)?({key}[ \t]*=.*)$")
        self.text = line.sub(r"# \1", self.text)
        self.notes.append(why)


def draft(home: Path, name: str, source: Installation, *, semi_auto: bool = False) -> Draft:
    """The env file of instance ``name``; nothing is written.

    Args:
        semi_auto: OpenAlgo keeps the order mode in its database.

    Raises:
        SettingsError: The name is not one, or another instance's file cannot be read.
    """
    envfile.check_name(name)
    others = [
        EnvFile.read(home / "instances" / f"{other}.env", home)
        for other in instance_names(home)
        if other != name
    ]
    made = Draft(_last_of_each(source.text))
    _ports(made, home, name)
    _secrets(made, others)
    _cookies(made, others)
    _databases(made, home, others)
    if semi_auto and "ORDER_MODE" not in made.values():
        made.put("ORDER_MODE", "semi_auto", "orders wait for your word, as they did: ORDER_MODE=semi_auto")
    return made


def _last_of_each(text: str) -> str:
    """A name set twice means its last value to OpenAlgo; here two values would be an error."""
    lines = text.splitlines()
    seen: set[str] = set()
    for number in reversed(range(len(lines))):
        match = re.match(r"[ \t]*(?:export[ \t]+)?(\w+)[ \t]*=", lines[number])
        if match and match[1] in seen:
            lines[number] = f"# {lines[number]}"
        elif match:
            seen.add(match[1])
    return "\n".join(lines) + "\n"


def _ports(made: Draft, home: Path, name: str) -> None:
    claimed = envfile.claimed_ports(home, name)
    values, step = made.values(), FIXED_STEP.get(name, 0)
    wanted = {key: values.get(key) or str(first + step) for key, first in FIRST_PORTS.items()}
    taken = [key for key, port in wanted.items() if port.isdigit() and int(port) in claimed]
    if not taken:
        return
    usual = envfile.free_ports(home, name)
    fresh = usual if not claimed.intersection(usual.values()) else envfile.next_ports(claimed)
    for key in FIRST_PORTS:
        made.put(key, str(fresh[key]), f"{key} is {fresh[key]} now; another instance has {wanted[key]}")
    server = values.get("HOST_SERVER", "")
    if server.endswith(f":{wanted['FLASK_PORT']}"):
        moved = server.removesuffix(wanted["FLASK_PORT"]) + str(fresh["FLASK_PORT"])
        made.put("HOST_SERVER", moved, f"HOST_SERVER is {moved} now")


def _secrets(made: Draft, others: Iterable[EnvFile]) -> None:
    theirs = {other.values.get(key) for other in others for key in SECRETS}
    values = made.values()
    for key in SECRETS:
        value = values.get(key, "").strip()
        why = ""
        if not value or PLACEHOLDER.match(value) or (key != "FERNET_SALT" and len(value) < SHORTEST):
            why = "was missing, a placeholder or too short"
        elif hashlib.sha256(value.encode()).hexdigest() in PUBLIC_SAMPLES:
            why = "was a publicly known sample"
        elif value in theirs:
            why = "was the same as another instance's"
        if why:
            made.put(key, secrets.token_hex(32), f"{key} is fresh: it {why}")


def _cookies(made: Draft, others: Iterable[EnvFile]) -> None:
    theirs = {other.values.get(key) for other in others for key in COOKIES}
    for key in COOKIES:
        value = made.values().get(key)
        if value and value in theirs:
            made.drop(key, f"{key} is the instance's own now; another one has '{value}'")


def _databases(made: Draft, home: Path, others: Iterable[EnvFile]) -> None:
    theirs = {
        path for other in others for key in DATABASES if (path := _path(home, other.values.get(key, "")))
    }
    for key in DATABASES:
        value = made.values().get(key, "")
        if not value:
            continue
        path = _path(home, value)
        if path is None or not path.is_relative_to(home):
            made.drop(key, f"{key} is a file of its own now; {value} stays OpenAlgo's")
        elif path.exists() and key != SHARED:
            made.drop(key, f"{key} is a file of its own now; {value} is there already")
        elif path in theirs and key != SHARED:
            made.drop(key, f"{key} is a file of its own now; another instance has {value}")


def _path(home: Path, value: str) -> Path | None:
    """None for another kind of database."""
    text = value.removeprefix("sqlite:///")
    return None if not text or "://" in text else (home / text).resolve()


def missing(made: Draft, name: str, ask: Callable[[str], str]) -> None:
    """Fill in what the broker needs and OpenAlgo's file does not have. ``ask``: empty to leave it open."""
    broker = made.values().get("BROKER") or _broker_of(made)
    spec = envfile.spec_of(name, broker or None)
    have = made.values()
    for credential in spec.credentials:
        known = any(
            have.get(key) and not PLACEHOLDER.match(have[key])
            for key in (credential.env, *credential.aliases)
        )
        packed = credential.env in ("DHAN_CLIENT_ID", "KOTAK_UCC") and have.get("BROKER_API_KEY")
        if credential.required and not known and not packed:
            given = ask(credential.env)
            if given:
                made.text = envfile.fill(made.text, {credential.env: given})
            else:
                made.notes.append(f"{credential.env} is not set yet: {credential.where}")


def _broker_of(made: Draft) -> str:
    parts = made.values().get("REDIRECT_URL", "").rstrip("/").split("/")
    return parts[-2] if len(parts) >= 2 and parts[-1] == "callback" and parts[-2] != "<broker>" else ""


def finish(home: Path, name: str, made: Draft) -> Path:
    """Write it. Raises ``SettingsError`` when the instance has a file already."""
    if not made.text.strip():
        raise SettingsError(f"{name}: the file to take over is empty")
    return envfile.write(home, name, made.text)
