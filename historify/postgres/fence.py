"""Whose batch counts, checked in the transaction that publishes it.

The lease and its epoch live in the home's ``control.db``; the server keeps the highest epoch it has met and
refuses lower ones, so a writer that slept through a takeover publishes nothing once its successor wrote or
was admitted. Epochs of different homes cannot be compared: a home takes over from another one only when
that one has been silent for ``SILENT_S``.
"""

from __future__ import annotations

from historify.errors import LeaseLost
from historify.postgres.pool import Connection

SILENT_S = 60


def admit(connection: Connection, writer: str, epoch: int) -> None:
    """Inside a transaction: this epoch may write until it ends; later ones wait, older ones are refused.

    Raises:
        LeaseLost: A later epoch was admitted, or another home writes; the transaction must not go on.
    """
    # looked at first: the upsert locks the row alone, and batches of one epoch go side by side
    row = connection.execute("SELECT writer, epoch FROM fence WHERE id = 1").fetchone()
    if row != (writer, epoch):
        connection.execute(
            "INSERT INTO fence(id, writer, epoch, seen_at) VALUES (1, %s, %s, clock_timestamp())"
            " ON CONFLICT (id) DO UPDATE SET writer = excluded.writer, epoch = excluded.epoch,"
            " seen_at = excluded.seen_at"
            " WHERE (fence.writer = excluded.writer AND fence.epoch < excluded.epoch)"
            " OR (fence.writer <> excluded.writer"
            " AND fence.seen_at < clock_timestamp() - make_interval(secs => %s))",
            (writer, epoch, SILENT_S),
        )
    # shared, to the end of the transaction: a takeover waits for the batches under way
    row = connection.execute("SELECT writer, epoch FROM fence WHERE id = 1 FOR SHARE").fetchone()
    assert row is not None
    if row[0] != writer:
        raise LeaseLost(
            f"epoch {epoch}: another home ({row[0] or 'unnamed'}) wrote this database less than"
            f" {SILENT_S} s ago; the batch was not published"
        )
    if row[1] != epoch:
        raise LeaseLost(
            f"epoch {epoch} may no longer write: {row[1]} is current; the batch was not published"
        )


def take(connection: Connection, writer: str, epoch: int) -> None:
    """``admit`` on its own. Raises: LeaseLost."""
    with connection.transaction():
        admit(connection, writer, epoch)


def seen(connection: Connection) -> None:
    """After a publish: this home lives. Skipped while another thread of ours says the same."""
    connection.execute(
        "UPDATE fence SET seen_at = clock_timestamp() WHERE id IN (SELECT id FROM fence"
        " WHERE seen_at < clock_timestamp() - interval '10 seconds' FOR UPDATE SKIP LOCKED)"
    )
