"""Stores in schemas of their own for whoever breaks things."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from historify.postgres.store import PostgresStore
from tests.historify.contract import rig
from tests.historify.server import Server

_numbers = itertools.count(1)


@pytest.fixture
def url(server: Server) -> str:
    """A schema no other test has seen."""
    return f"{server.url()}&schema=own_{next(_numbers)}"


@pytest.fixture
def opened(url: str, tmp_path: Path) -> Iterator[Callable[..., PostgresStore]]:
    """Opens stores and closes them afterwards."""
    stores: list[PostgresStore] = []

    def open_one(extra: str = "", writer: str = "", **options: object) -> PostgresStore:
        stores.append(PostgresStore(url + extra, calendar=rig.calendar(tmp_path), writer=writer))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


@pytest.fixture
def admin(server: Server) -> Iterator[psycopg.Connection]:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        yield connection
