"""``python -m supervisor.routing --config FILE``: the route, until SIGTERM."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from supervisor.routing.app import main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m supervisor.routing", description=__doc__)
    parser.add_argument("--config", required=True, type=Path, help="written by the supervisor")
    sys.exit(main(parser.parse_args().config))
