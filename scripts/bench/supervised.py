"""The measured process of ``supervise.py``: our supervisor over given children, and nothing else loaded."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from brokers.venue import Venue
from supervisor.children import policy
from supervisor.loop import Supervisor
from supervisor.plan import ChildSpec
from supervisor.state import RunFolder


async def serve(folder: Path, commands: list[list[str]], ports: list[int]) -> None:
    """Until killed. Deaths never end in ``failed`` here and young ones are answered at once."""
    boss = Supervisor(RunFolder(folder, Venue.SIM), policy.Rules(long_life_s=0.0, start_deadline_s=1e9))
    for number, (argv, port) in enumerate(zip(commands, ports, strict=True)):
        key, url = f"bench{number}.api", f"http://127.0.0.1:{port}/"
        log, lock = folder / f"{key}.log", folder / f"{key}.lock"
        boss.start(ChildSpec(key, "api", "bench", tuple(argv), url, (), (), log, lock, folder))
    await boss.run()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), *json.loads(sys.argv[2])))
