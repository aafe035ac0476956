"""A child whose standard error is its log: numbered lines from several threads, raw and logged, until killed.

Prints on standard output, which is a pipe, every number whose line is in the file.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from pathlib import Path

from brokers.jsonlog import JsonLines
from brokers.logrotate import LogRules, OwnLog, OwnLogHandler

PATH, WHO, MOST = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])


def logged(who: str) -> None:
    for number in range(MOST):
        logging.getLogger("x").info("%s-%d", who, number)
        os.write(1, f"{who}-{number}\n".encode())


def raw(who: str) -> None:
    for number in range(MOST):
        os.write(2, f"{who}-{number}\n".encode())
        os.write(1, f"{who}-{number}\n".encode())


def main() -> None:
    handler = OwnLogHandler(OwnLog(PATH, LogRules(max_bytes=2000), descriptors=(2,)))
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    jobs = [(logged, f"{WHO}a"), (logged, f"{WHO}b"), (raw, f"{WHO}c")]
    threads = [threading.Thread(target=job, args=(who,)) for job, who in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


main()
