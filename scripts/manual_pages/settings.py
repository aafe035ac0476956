"""Settings of an env file, found by watching what the gateway reads of one."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from brokers import registry
from brokers.contract import BrokerSpec
from brokers.model import Venue
from gateway import settings
from gateway.settings import EnvFile
from scripts.manual_pages.meanings import GROUPS, MEANINGS
from scripts.manual_pages.words import NOTE, code, joined, table
from supervisor.setup import envfile

BROKERS = ("kotak", "dhan")
HEAD = """\
# Settings

One file an instance: `instances/NAME.env`, lines of the form `NAME=value`, read once when a process starts
and readable by its owner alone (mode 0600). `algo init NAME` writes it; `algo restart NAME` makes a change
count. A value that is wrong is refused before anything starts, with file and line. `NAME` in a default is
the instance's name.
"""


@dataclass(frozen=True)
class Read:
    """One setting as the code asks for it."""

    name: str
    default: str
    allowed: str


class Watched(EnvFile):
    """An env file that notes what is asked of it."""

    seen: dict[str, Read]

    @classmethod
    def read(cls, path: Path, home: Path) -> EnvFile:
        plain = EnvFile.read.__func__(EnvFile, path, home)  # type: ignore[attr-defined]
        return cls(plain.path, Values(plain.values, cls.seen), plain.lines, plain.shown)

    def _note(self, name: str, default: str, allowed: str) -> None:
        self.seen[name] = Read(name, default, allowed)

    def text(self, name: str, default: str) -> str:
        found = super().text(name, default)
        self._note(name, default, "")
        return found

    def port(self, name: str, default: int) -> int:
        self._note(name, str(default), "1 to 65535")
        return super().port(name, default)

    def number(self, name: str, default: float, low: float, high: float) -> float:
        self._note(name, f"{default:.12g}", f"{low:.12g} to {high:.12g}")
        return super().number(name, default, low, high)

    def choice(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        found = super().choice(name, default, allowed)
        self._note(name, default, ", ".join(allowed))
        return found

    def signing_secret(self, name: str) -> Any:
        found = super().signing_secret(name)
        self._note(name, "`algo init` writes it", "32 characters or more")
        return found


class Values(dict[str, str]):
    """Names asked for directly."""

    def __init__(self, values: dict[str, str], seen: dict[str, Read]) -> None:
        super().__init__(values)
        self._seen = seen

    def get(self, key: str, default: Any = None) -> Any:
        self._seen.setdefault(key, Read(key, "", ""))
        return super().get(key, default)


def watched(broker: str) -> dict[str, Read]:
    """Every setting an instance of this broker reads, in the order it is read."""
    spec = registry.spec(broker)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        path = envfile.create(home, broker, None)
        path.write_text(_filled(path.read_text(), spec))
        kind = type("One", (Watched,), {"seen": {}})
        with mock.patch.dict(settings.load.__globals__, {"EnvFile": kind}):
            settings.load(home, broker, Venue.LIVE)
        step = re.compile(rf"(?<![a-z]){broker}\b")
        seen: dict[str, Read] = kind.seen  # type: ignore[attr-defined]
        return {
            name: Read(name, step.sub("NAME", one.default.replace(str(home), "")), one.allowed)
            for name, one in seen.items()
        }


def _filled(text: str, spec: BrokerSpec) -> str:
    """With credentials that are no placeholders."""
    for one in spec.credentials:
        text = re.sub(rf"(?m)^# ?{one.env}=.*$|^{one.env}=.*$", f"{one.env}=x1", text)
    return text


def credentials() -> Iterator[tuple[BrokerSpec, list[tuple[str, ...]]]]:
    for broker in BROKERS:
        spec = registry.spec(broker)
        yield (
            spec,
            [
                (code(one.env), "yes" if one.required else "", ", ".join(map(code, one.aliases)), one.where)
                for one in spec.credentials
            ],
        )


def everything() -> dict[str, Read]:
    """Settings of all brokers, without credentials and addresses."""
    found: dict[str, Read] = {}
    for broker in BROKERS:
        spec = registry.spec(broker)
        own = {name for one in spec.credentials for name in (one.env, *one.aliases)}
        own |= {f"{broker.upper()}_{name.upper()}_URL" for name in spec.endpoints} | set(spec.retired)
        for name, one in watched(broker).items():
            if name in own:
                continue
            before = found.get(name)
            if before is not None and before.default != one.default:
                both = f"{before.default} ({BROKERS[0]}), {one.default} ({broker})"
                one = Read(name, both, one.allowed)
            found[name] = one
    return found


def page() -> str:
    found = everything()
    lines = [NOTE, "", HEAD]
    for spec, rows in credentials():
        lines += [f"## Credentials of {spec.title}", ""]
        lines += [f"Login: {spec.login}. Session: {spec.session}.", ""]
        lines += table(("Setting", "Required", "Also read", "Where you find it"), rows)
    for title, names in GROUPS.items():
        rows = [
            (code(n), _default(found[n].default), found[n].allowed, MEANINGS[n]) for n in names if n in found
        ]
        lines += [f"## {title}", "", *table(("Setting", "Default", "Allowed", "Meaning"), rows)]
    lines += _addresses()
    return joined(lines)


def _default(text: str) -> str:
    return text if " " in text or not text else code(text)


def _addresses() -> list[str]:
    rows = []
    for broker in BROKERS:
        spec = registry.spec(broker)
        rows += [
            (code(f"{broker.upper()}_{n.upper()}_URL"), code(url) or "the broker's answer to the login")
            for n, url in spec.endpoints.items()
        ]
    said = (
        "The brokers' own. Change one only when a broker moves a service; with `--sim` none of them is read "
        "and only loopback is used."
    )
    return ["## Addresses of the brokers", "", said, "", *table(("Setting", "Default"), rows)]
