"""Prices over ZeroMQ. Subscribing to a topic is all: the instance then asks the broker for the symbol."""

import json
import os

import zmq

socket = zmq.Context().socket(zmq.SUB)
socket.connect(os.environ.get("ALGO_ZMQ", "tcp://127.0.0.1:5556"))  # kotak: 5555
socket.subscribe("NSE_SBIN_QUOTE")  # EXCHANGE_SYMBOL_MODE; modes: LTP, QUOTE, DEPTH

for _ in range(5):
    if not socket.poll(30_000):
        raise SystemExit("no tick for 30 s; see: algo status")
    topic, body = socket.recv_multipart()
    tick = json.loads(body)
    print(topic.decode(), tick["ltp"], "volume", tick["volume"])
