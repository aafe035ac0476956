"""The tables of an instance's latency database."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, LargeBinary, MetaData, String, Table, UniqueConstraint

METADATA = MetaData()

REQUESTS = Table(
    "requests",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at_ns", Integer, nullable=False, comment="wall time it was received"),
    Column("base_ns", Integer, nullable=False, comment="the same on the monotonic clock"),
    Column("endpoint", String, nullable=False),
    Column("journal_id", Integer, nullable=False),
    Column("order_id", String, nullable=False),
    Column("exchange", String, nullable=False),
    Column("symbol", String, nullable=False),
    Column("price_type", String, nullable=False),
    Column("strategy", String, nullable=False),
    Column("probe", String, nullable=False),
    Column("outcome", String, nullable=False),
    Column("code", String, nullable=False),
    Column("flags", Integer, nullable=False),
    # nanoseconds after it was received
    Column("checked_ns", Integer),
    Column("journaled_ns", Integer),
    Column("sent_ns", Integer),
    Column("acknowledged_ns", Integer),
    Column("answered_ns", Integer),
    Column("exchange_ns", Integer),
    Column("filled_ns", Integer),
    Column("cancelled_ns", Integer),
    Index("requests_at", "at_ns"),
    Index("requests_journal", "journal_id"),
)

BROWSER = Table(
    "browser",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at_ns", Integer, nullable=False),
    Column("order_id", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("us", Integer, nullable=False),
    UniqueConstraint("order_id", "kind"),
    Index("browser_at", "at_ns"),
)

HISTOGRAMS = Table(
    "histograms",
    METADATA,
    Column("day", String, primary_key=True),
    Column("broker", String, primary_key=True),
    Column("endpoint", String, primary_key=True),
    Column("stage", String, primary_key=True),
    Column("data", LargeBinary, nullable=False, comment="HdrHistogram V2, base64; microseconds"),
)

COUNTS = Table(
    "counts",
    METADATA,
    Column("day", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("value", Integer, nullable=False),
)

STATE = Table(
    "state",
    METADATA,
    Column("name", String, primary_key=True),
    Column("value", Integer, nullable=False),
)
