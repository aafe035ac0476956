"""The env file itself: names, values, the line each stands on, and checks that speak with that line."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path

from dotenv.parser import parse_stream

from brokers.errors import SettingsError
from brokers.secret import Secret

PLACEHOLDER = re.compile(r"(?i)^(your[_ -].*|<.*>|change[_ -]?me.*|replace[_ -].*|x{4,}|todo)$")
# SHA-256 of secrets that stand in public sample files; anybody can sign a cookie with them
PUBLIC_SAMPLES = frozenset(
    {
        "b369f30b3b4751c22758ed5c958c4f9bc238ea3487b809d52e744c5790bb009e",
        "3b7221846c46712b58119e9c9b5554e11ee66ae253627ddf9a6c34b1e43c6dd7",
    }
)


class EnvFile:
    """Names and values with the line each stands on; checks speak with that line."""

    def __init__(self, path: Path, values: dict[str, str], lines: dict[str, int], shown: str) -> None:
        self.path = path
        self.shown = shown
        self.values = values
        self.lines = lines

    @classmethod
    def read(cls, path: Path, home: Path) -> EnvFile:
        """Raises ``SettingsError`` when the file is missing, readable by others, or not env syntax."""
        shown = short(path, home)
        if not path.is_file():
            raise SettingsError(f"{shown} does not exist; make it with: algo init {path.stem}")
        mode = stat.S_IMODE(path.stat().st_mode)
        if os.name == "posix" and mode & 0o077:
            raise SettingsError(
                f"{shown} is readable by others (mode {mode:o}) and holds credentials; run: chmod 600 {shown}"
            )
        values: dict[str, str] = {}
        lines: dict[str, int] = {}
        with path.open(encoding="utf-8") as stream:
            for binding in parse_stream(stream):
                line = binding.original.line + binding.original.string.count(
                    "\n", 0, len(binding.original.string) - len(binding.original.string.lstrip())
                )
                if binding.error:
                    raise SettingsError(f"{shown} line {line}: cannot be read as NAME=VALUE")
                if binding.key is None or binding.value is None:
                    continue
                if binding.key in values and values[binding.key] != binding.value:
                    raise SettingsError(
                        f"{shown} line {line}: {binding.key} is set again "
                        f"(first on line {lines[binding.key]})"
                    )
                values[binding.key] = binding.value.strip()
                lines[binding.key] = line
        return cls(path, values, lines, shown)

    def where(self, name: str) -> str:
        line = self.lines.get(name)
        return f"{self.shown} line {line}" if line else self.shown

    def text(self, name: str, default: str) -> str:
        return self.values.get(name) or default

    def port(self, name: str, default: int) -> int:
        text = self.values.get(name) or str(default)
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
            raise SettingsError(f"{self.where(name)}: {name} is {text}, expected 1-65535")
        return int(text)

    def number(self, name: str, default: float, low: float, high: float) -> float:
        text = self.values.get(name) or str(default)
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise SettingsError(f"{self.where(name)}: {name} is {text}, expected {low:g} to {high:g}")
        return value

    def choice(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        value = self.text(name, default)
        if value not in allowed:
            raise SettingsError(
                f"{self.where(name)}: {name} is {value}, expected one of {', '.join(allowed)}"
            )
        return value

    def signing_secret(self, name: str) -> Secret:
        value = self.values.get(name, "")
        if not value or PLACEHOLDER.match(value):
            raise SettingsError(
                f"{self.where(name)}: {name} is missing or a placeholder; `algo init` writes a fresh one"
            )
        if hashlib.sha256(value.encode()).hexdigest() in PUBLIC_SAMPLES:
            raise SettingsError(
                f"{self.where(name)}: {name} is a publicly known sample key; put a fresh one: "
                'python -c "import secrets; print(secrets.token_hex(32))"'
            )
        if len(value) < 32:
            raise SettingsError(
                f"{self.where(name)}: {name} has {len(value)} characters, expected 32 or more"
            )
        return Secret(value)


def short(path: Path, home: Path) -> str:
    """A path as messages show it: from the home on, where it lies in it."""
    try:
        return str(path.relative_to(home))
    except ValueError:
        return str(path)
