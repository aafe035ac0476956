"""O1 and O3 under SIGKILL: whatever the broker saw has a journal row, and nothing was sent twice."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
ROUNDS = 15
PER_ROUND = 40


class Broker(ThreadingHTTPServer):
    """Counts every order that reached it. Slow on both sides, so that kills fall before and after."""

    daemon_threads = True

    def __init__(self, seed: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self.tags: list[str] = []


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Broker

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            before, after = self.server.random.uniform(0, 0.02), self.server.random.uniform(0, 0.05)
            torn = self.server.random.random() < 0.1
        threading.Event().wait(before)
        with self.server.lock:
            self.server.tags.append(body["tag"])
            order_id = str(len(self.server.tags))
        threading.Event().wait(after)
        if torn:
            self.close_connection = True  # executed, but no answer
            return
        self._answer({"orderId": order_id})

    def do_GET(self) -> None:
        with self.server.lock:
            rows = [{"orderId": str(n), "tag": tag} for n, tag in enumerate(self.server.tags, 1)]
        self._answer(rows)

    def _answer(self, value: object) -> None:
        body = json.dumps(value).encode()
        try:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            self.close_connection = True  # the client was killed

    def log_message(self, format: str, *args: object) -> None:
        pass


def start(database: Path, broker: Broker, first: int, count: int) -> subprocess.Popen[str]:
    arguments = [str(database), str(broker.server_port), str(first), str(count)]
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.gateway.trading.kill_child", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def journal(database: Path) -> list[tuple[str, str, str, str]]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(
            "SELECT client_order_id, tag, state, coalesce(order_id, '') FROM orders ORDER BY id"
        ).fetchall()


@pytest.mark.timeout(300)
def test_orders_survive_being_killed_anywhere(tmp_path):
    rng = random.Random(20261120)
    database = tmp_path / "one.db"
    with Broker(seed=7) as broker:
        threading.Thread(target=broker.serve_forever, daemon=True).start()
        for number in range(ROUNDS):
            child = start(database, broker, number * PER_ROUND, PER_ROUND)
            threading.Event().wait(rng.uniform(0.0, 0.4))
            child.kill()
            child.communicate()
            seen, rows = set(broker.tags), journal(database)
            assert seen <= {tag for _, tag, _, _ in rows}, "the broker saw an order the journal does not know"
        last = start(database, broker, ROUNDS * PER_ROUND, 0)
        assert last.communicate(timeout=200)[0] == "done\n"
        broker.shutdown()
    rows = journal(database)
    sent = Counter(broker.tags)
    assert max(sent.values()) == 1, "a tag was sent twice"
    assert Counter(client for client, *_ in rows).most_common(1)[0][1] == 1
    assert {client for client, *_ in rows} == {f"c{n}" for n in range(ROUNDS * PER_ROUND)}
    ids = {tag: str(n) for n, tag in enumerate(broker.tags, 1)}
    for client, tag, state, order_id in rows:
        expected = ("open", ids[tag]) if tag in sent else ("rejected", "")
        assert (state, order_id) == expected, client
