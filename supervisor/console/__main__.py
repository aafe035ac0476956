"""``python -m supervisor.console --config FILE``: the fleet page, until SIGTERM."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from supervisor.console.app import main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m supervisor.console", description=__doc__)
    parser.add_argument("--config", required=True, type=Path, help="written by the supervisor")
    sys.exit(main(parser.parse_args().config))
