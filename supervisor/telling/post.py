"""``python -m supervisor.telling.post``: one event to one URL.

A process of its own, so that the supervisor loads no HTTP client and what hangs is not its problem. Standard
input is ``{"url": …, "event": …}``: the URL is a secret and stands in no argument list.
"""

from __future__ import annotations

import json
import sys

import urllib3

TIMEOUT_S = 4.0


def main() -> int:
    """Exit code 0 when the other side took it."""
    asked = json.load(sys.stdin)
    # a POST that may have arrived is not repeated: only connecting is
    retries = urllib3.Retry(total=1, connect=1, read=0, status=0, redirect=0)
    try:
        answer = urllib3.PoolManager().request(
            "POST", asked["url"], json=asked["event"], timeout=TIMEOUT_S, retries=retries
        )
    except urllib3.exceptions.HTTPError as exc:
        sys.stderr.write(f"{type(exc).__name__}\n")
        return 1
    return 0 if answer.status < 300 else 1


if __name__ == "__main__":
    sys.exit(main())
