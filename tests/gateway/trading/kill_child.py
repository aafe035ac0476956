"""A desk in a process of its own, placing orders at a broker behind real HTTP until somebody kills it.

    python -m tests.gateway.trading.kill_child DB PORT FIRST COUNT

Repeats every client_order_id below FIRST, then goes on with COUNT new ones, from three threads.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

from brokers.errors import WireError
from brokers.model import OrderStatus, Placement, SentTerms
from brokers.transport import Transport
from tests.gateway.trading.desks import Bench, FakeRest, book_row, request, until


class HttpRest(FakeRest):
    """The smallest adapter: tag in, id out."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.base = f"http://127.0.0.1:{port}"
        self.transport = Transport(read_timeout_s=2.0)

    def place(self, order, instrument, tag, *, ltp):
        body = json.dumps({"tag": tag}).encode()
        reply = self.transport.send("POST", f"{self.base}/orders", headers={}, body=body)
        if reply.status != 200:
            raise WireError("not an answer", reply.body)
        sent = SentTerms(order.price_type, order.price, order.trigger_price)
        order_id = json.loads(reply.body)["orderId"]
        return Placement(order_id, OrderStatus.OPEN, sent, reply.sent_ns, reply.received_ns)

    def orders(self):
        rows = json.loads(self.transport.fetch("GET", f"{self.base}/orders", headers={}).body)
        return [book_row(row["orderId"], row["tag"]) for row in rows]

    def find_tag(self, tag):
        return [order for order in self.orders() if order.tag.startswith(tag)]


def main() -> None:
    database, port, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    bench = Bench(Path(database))
    bench.rest = HttpRest(port)
    desk = bench.open()
    print("ready", flush=True)
    todo = iter([*range(first), *range(first, first + count)])
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                number = next(todo, None)
            if number is None:
                return
            desk.place(request(), client_order_id=f"c{number}", received_ns=time.time_ns())

    threads = [threading.Thread(target=work) for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    until(lambda: desk.status().unknown == 0, 20)
    bench.close()
    print("done", flush=True)


if __name__ == "__main__":
    main()
