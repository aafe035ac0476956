"""What ``HISTORIFY_DATABASE_URL=postgresql://…`` says, and how it is shown without its password.

Our own parameters ride in the URL's query and are taken out before libpq sees it:
``schema`` (default ``historify``), ``compress_after_days`` (TimescaleDB only, default 90) and
``retain_days`` (minute bars older than that are dropped, whole months at a time; default: keep all).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from brokers.errors import SettingsError

SCHEMA = "historify"
COMPRESS_AFTER_DAYS = 90
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,40}")
_PORTS = re.compile(r"[0-9,]*")
_HIDDEN = "***"


@dataclass(frozen=True, slots=True)
class Address:
    """Where the store is.

    Attributes:
        conninfo: For libpq; holds the password, never to be shown.
        shown: The same for messages, the password replaced.
        schema: PostgreSQL schema that holds the tables.
        retain_days: Minute bars older than this go; None keeps them.
    """

    conninfo: str
    shown: str
    schema: str
    compress_after_days: int
    retain_days: int | None
    passwords: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Address({self.shown})"

    def redacted(self, text: str) -> str:
        """``text`` without the password, as typed or percent-encoded."""
        for password in self.passwords:
            text = text.replace(password, _HIDDEN)
        return " ".join(text.split())


def parse(url: str) -> Address:
    """Raises: SettingsError, naming the parameter; never with the password in it."""
    try:
        parts = urlsplit(url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        typed = parts.password
    except ValueError:
        raise SettingsError("HISTORIFY_DATABASE_URL is no postgresql:// URL") from None
    schema = query.pop("schema", SCHEMA)
    if not _NAME.fullmatch(schema):
        raise SettingsError(
            "HISTORIFY_DATABASE_URL: schema must be a lower-case name of letters, digits and _"
        )
    compress_after_days = _days(query, "compress_after_days", COMPRESS_AFTER_DAYS)
    retain_days = _days(query, "retain_days", None)
    asked = urlencode(query, quote_via=quote)
    conninfo = url.partition("?")[0] + (f"?{asked}" if asked else "")
    try:
        known = conninfo_to_dict(conninfo)
        # a bare / or @ in a password ends up as a port or in the database's name
        if "@" in str(known.get("dbname") or "") or not _PORTS.fullmatch(str(known.get("port") or "")):
            raise ProgrammingError
    except ProgrammingError:
        # from None: libpq's words repeat the URL
        raise SettingsError(
            "HISTORIFY_DATABASE_URL: the driver cannot read it; a password's /, @, : and % are written %2F …"
        ) from None
    passwords = {str(known.get("password") or ""), typed or "", unquote(typed or "")} - {""}
    user, host, port = known.get("user"), known.get("host") or "localhost", known.get("port")
    secret = f":{_HIDDEN}" if passwords else ""
    who = f"{user}{secret}@" if user else ""
    shown = f"postgresql://{who}{host}{f':{port}' if port else ''}/{known.get('dbname') or ''}"
    return Address(
        conninfo,
        shown,
        schema,
        compress_after_days or COMPRESS_AFTER_DAYS,
        retain_days,
        tuple(sorted(passwords, key=len, reverse=True)),
    )


def _days(query: dict[str, str], name: str, default: int | None) -> int | None:
    text = query.pop(name, None)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise SettingsError(
            f"HISTORIFY_DATABASE_URL: {name} is {text!r}, expected a number of days from 1 on"
        )
    return int(text)
