"""Strategies, orders that wait for a word, GTT orders.

Written out, not taken from the tables of today: a step says what version 2 was, whatever comes after it.
Files made while version 2 was being written have some of them already.
"""

from __future__ import annotations

from alembic.operations import Operations
from sqlalchemy import Column, ForeignKey, Integer, String, Text, UniqueConstraint


def upgrade(op: Operations) -> None:
    _strategies(op)
    _queued_orders(op)
    _gtts(op)


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, server_default="")


def _word(name: str, default: str | None = None) -> Column[str]:
    return Column(name, String, nullable=False, server_default=default)


def _number(name: str, default: str | None = None) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default=default)


def _strategies(op: Operations) -> None:
    op.create_table(
        "strategies",
        Column("id", Integer, primary_key=True),
        *(_word(name) for name in ("name", "webhook_id", "platform", "mode")),
        *(_word(name, "") for name in ("start", "end", "square_off")),
        _number("active", "1"),
        _number("changed_ns"),
        UniqueConstraint("name"),
        UniqueConstraint("webhook_id"),
        sqlite_autoincrement=True,
        if_not_exists=True,
    )
    op.create_table(
        "strategy_symbols",
        Column("strategy_id", Integer, ForeignKey("strategies.id", ondelete="CASCADE"), primary_key=True),
        Column("symbol", String, primary_key=True),
        _word("exchange"),
        _number("quantity"),
        _word("product"),
        if_not_exists=True,
    )


def _queued_orders(op: Operations) -> None:
    op.create_table(
        "queued_orders",
        Column("id", Integer, primary_key=True),
        _word("client_id"),
        _word("source"),
        _word("strategy", ""),
        Column("strategy_id", Integer),
        _word("kind"),
        _number("paper", "0"),
        Column("body", Text, nullable=False),
        *(_word(name) for name in ("fingerprint", "day", "state")),
        _number("created_ns"),
        _number("received_ns"),
        Column("decided_ns", Integer),
        Column("ended_ns", Integer),
        _number("status", "0"),
        _text("answer"),
        UniqueConstraint("client_id"),
        sqlite_autoincrement=True,
        if_not_exists=True,
    )
    op.create_index("queued_orders_state", "queued_orders", ["state"], if_not_exists=True)


def _gtts(op: Operations) -> None:
    op.create_table(
        "gtts",
        Column("id", Integer, primary_key=True),
        *(Column(name, String) for name in ("trigger_id", "tag", "client_order_id")),
        _word("kept_by"),
        _word("strategy", ""),
        _number("created_ns"),
        _number("updated_ns"),
        Column("expires_ns", Integer),
        *(_word(name) for name in ("exchange", "symbol", "action", "product", "price_type")),
        _number("quantity"),
        Column("legs", Text, nullable=False),
        _word("state"),
        Column("leg", Integer),
        _number("attempt", "0"),
        Column("seen_price", String),
        _word("order_id", ""),
        _word("code", ""),
        _text("reason"),
        _word("pending", ""),
        *(UniqueConstraint(name) for name in ("trigger_id", "tag", "client_order_id")),
        if_not_exists=True,
    )
    op.create_index("gtts_state", "gtts", ["state"], if_not_exists=True)
    op.create_table(
        "gtt_events",
        Column("id", Integer, primary_key=True),
        Column("gtt_id", Integer, ForeignKey("gtts.id"), nullable=False),
        _word("kind"),
        _number("at_ns"),
        _word("state"),
        _text("detail"),
        if_not_exists=True,
    )
    op.create_index("gtt_events_gtt", "gtt_events", ["gtt_id"], if_not_exists=True)
