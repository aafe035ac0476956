"""What the server or the driver says, as the store's own errors. Decided by SQLSTATE, never by wording."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from historify.errors import StoreBusy, StoreDamaged, StoreError, StoreFull
from historify.postgres.address import Address

BUSY_CLASSES = ("08", "40", "53", "55", "57")
"""Connection, rolled back, resources, object in use, operator's doing: the same call may work later."""
FULL = {"53100": "the disk is full", "42501": "no right to write", "25006": "the server is read-only"}
DAMAGED = ("XX001", "XX002")


@contextmanager
def translated(address: Address, doing: str) -> Iterator[None]:
    """Errors of psycopg become ``StoreBusy``, ``StoreFull``, ``StoreDamaged`` or ``StoreError``.

    Args:
        doing: What was tried, for the message: ``reading NSE:SBIN 1m``.
    """
    try:
        yield
    except psycopg.Error as exc:
        raise _ours(
            exc, address, doing
        ) from None  # from None: the driver's own words may repeat the password


def _ours(exc: psycopg.Error, address: Address, doing: str) -> StoreError:
    state = exc.sqlstate or ""
    said = address.redacted(str(exc)) or type(exc).__name__
    at = f"{address.shown}: {doing} failed"
    if state in FULL:
        return StoreFull(f"{at}: {FULL[state]} ({said}); nothing was written")
    if state in DAMAGED:
        return StoreDamaged(
            f"{at}: the server reports damaged data ({said}); restore or pull that series again"
        )
    if state == "57014":
        return StoreBusy(f"{at}: it took longer than the store allows ({said}); ask for less, or try again")
    if state[:2] in BUSY_CLASSES:
        return StoreBusy(f"{at}: {said}; nothing was acknowledged, try again")
    if not state and isinstance(exc, psycopg.OperationalError):
        return StoreBusy(
            f"{at}: the server cannot be reached ({said}); nothing was acknowledged, try again or check "
            "HISTORIFY_DATABASE_URL"
        )
    return StoreError(f"{at}: {said} [{state or type(exc).__name__}]")
