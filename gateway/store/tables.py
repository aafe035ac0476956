"""The tables of an instance's main database. The two instrument tables are made in ``instruments.py``."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

METADATA = MetaData()

KV = Table(
    "kv",
    METADATA,
    Column("name", String, primary_key=True),
    Column("value", Text, nullable=False),
    comment="Small facts that outlive a restart: instrument serial, panic block",
)

USERS = Table(
    "users",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("username", String, nullable=False, unique=True),
    Column("password_hash", String, nullable=False),
    Column("created_at", String, nullable=False),
)

API_KEYS = Table(
    "api_keys",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("label", String, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("created_at", String, nullable=False),
    Column("revoked_at", String),
    Column("scopes", String, nullable=False, server_default="*", comment="words; * is all of them"),
)

BROKER_SESSIONS = Table(
    "broker_sessions",
    METADATA,
    # never reused, so that a generation names one login for ever
    Column("generation", Integer, primary_key=True),
    Column("broker", String, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("stored_at", String, nullable=False),
    sqlite_autoincrement=True,
)

LOGIN_ATTEMPTS = Table(
    "login_attempts",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at_ns", Integer, nullable=False),
    Column("outcome", String, nullable=False),
)

ORDERS = Table(
    "orders",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("tag", String, unique=True, comment="our mark; NULL for foreign orders"),
    Column("client_order_id", String, unique=True),
    Column("fingerprint", String, nullable=False, server_default=""),
    Column("origin", String, nullable=False, comment="ours | foreign | gtt"),
    Column("strategy", String, nullable=False, server_default=""),
    Column("is_exit", Integer, nullable=False, server_default="0"),
    Column("created_ns", Integer, nullable=False),
    Column("exchange", String, nullable=False),
    Column("symbol", String, nullable=False),
    Column("action", String, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("price_type", String, nullable=False),
    Column("product", String, nullable=False),
    Column("price", String, nullable=False, comment="decimal text"),
    Column("trigger_price", String, nullable=False),
    Column("disclosed_quantity", Integer, nullable=False, server_default="0"),
    Column("state", String, nullable=False),
    Column("order_id", String, comment="the broker's; NULL until known"),
    Column("filled_quantity", Integer, nullable=False, server_default="0"),
    Column("average_price", String, nullable=False, server_default="0"),
    Column("reason", Text, nullable=False, server_default=""),
    Column("local", Integer, nullable=False, server_default="0"),
    Column(
        "pending", String, nullable=False, server_default="", comment="modify | cancel of unknown outcome"
    ),
    Column("answer", Text, nullable=False, server_default="", comment="JSON of the first answer"),
    Column("merged_into", Integer),
    Index("orders_order_id", "order_id", unique=True, sqlite_where=text("order_id IS NOT NULL")),
    Index("orders_created", "created_ns"),
    Index("orders_state", "state"),
)

ORDER_EVENTS = Table(
    "order_events",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("journal_id", Integer, ForeignKey("orders.id"), nullable=False),
    Column("kind", String, nullable=False),
    Column("at_ns", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("filled_quantity", Integer, nullable=False),
    Column("average_price", String, nullable=False),
    Column("received_ns", Integer),
    Column("checked_ns", Integer),
    Column("journaled_ns", Integer),
    Column("sent_ns", Integer),
    Column("acknowledged_ns", Integer),
    Column("answered_ns", Integer),
    Column("detail", Text, nullable=False, server_default=""),
    Index("order_events_journal", "journal_id"),
    Index("order_events_at", "at_ns"),
)

SYNCS = Table(
    "instrument_syncs",
    METADATA,
    Column("serial", Integer, primary_key=True),
    Column("at", String, nullable=False),
    Column("added", Integer, nullable=False),
    Column("changed", Integer, nullable=False),
    Column("expired", Integer, nullable=False),
    Column("total", Integer, nullable=False),
)

DAY_POINTS = Table(
    "day_points",
    METADATA,
    Column("paper", Integer, primary_key=True),
    Column("at_ms", Integer, primary_key=True),
    Column("day", String, nullable=False, comment="IST"),
    Column("realised", Float, nullable=False),
    Column("unrealised", Float, nullable=False),
    Column("unpriced", Integer, nullable=False),
)

RISK_CHANGES = Table(
    "risk_changes",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at", String, nullable=False),
    Column("who", String, nullable=False),
    Column("setting", String, nullable=False),
    Column("value", Text, comment="NULL: what the env file says"),
    Column("before", Text, nullable=False),
    Column("env", Text, nullable=False),
)

# order events, and who changed a limit, are evidence: the database itself refuses to change or drop one
APPEND_ONLY = (
    "CREATE TRIGGER IF NOT EXISTS risk_changes_no_update BEFORE UPDATE ON risk_changes "
    "BEGIN SELECT RAISE(ABORT, 'risk_changes is append-only'); END",
    "CREATE TRIGGER IF NOT EXISTS risk_changes_no_delete BEFORE DELETE ON risk_changes "
    "BEGIN SELECT RAISE(ABORT, 'risk_changes is append-only'); END",
    "CREATE TRIGGER IF NOT EXISTS order_events_no_update BEFORE UPDATE ON order_events "
    "BEGIN SELECT RAISE(ABORT, 'order_events is append-only'); END",
    "CREATE TRIGGER IF NOT EXISTS order_events_no_delete BEFORE DELETE ON order_events "
    "BEGIN SELECT RAISE(ABORT, 'order_events is append-only'); END",
)
