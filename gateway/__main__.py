"""``python -m gateway api|feed|call|import --home HOME --instance NAME --venue sim|live``: one process."""

from __future__ import annotations

import argparse
import gc
import importlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import cast

from brokers.errors import SettingsError
from brokers.model import Venue
from gateway import settings as instance_settings

EXIT_SETTINGS = 2
# looked up by name so that a feed process never loads Flask, nor an api process the feed
ROLES = {
    "api": "gateway.runtime",
    "feed": "gateway.stream.runtime",
    "call": "gateway.offline",
    "import": "gateway.importing",
}


def main(argv: list[str] | None = None) -> int:
    """Load the instance's settings and run the role. Exit code 2 when the settings are wrong."""
    parser = argparse.ArgumentParser(prog="python -m gateway", description=__doc__)
    parser.add_argument("role", choices=sorted(ROLES))
    parser.add_argument("--home", required=True, type=Path)
    parser.add_argument("--instance", required=True)
    parser.add_argument("--venue", required=True, choices=[v.value for v in Venue])
    parser.add_argument("--symbols", default="", help="subscribed from the start, with the env file's")
    parser.add_argument("--sim-hours", default="", choices=["", "always", "nse"])
    parser.add_argument("--bind", default="", help="listen here instead of the env file's addresses")
    parser.add_argument("--allow-host", action="append", default=[], help="a further name of this instance")
    parser.add_argument("--method", default="GET", help="of the one call that role `call` answers")
    parser.add_argument("--path", default="/internal/status")
    args = parser.parse_args(argv)
    try:
        loaded = instance_settings.load(args.home.resolve(), args.instance, Venue(args.venue))
        symbols = tuple(s.strip() for s in args.symbols.split(",") if s.strip())
        loaded = replace(
            loaded,
            symbols=tuple(dict.fromkeys((*loaded.symbols, *symbols))),
            sim_hours=args.sim_hours or loaded.sim_hours,
            host=args.bind or loaded.host,
            ws_host=args.bind or loaded.ws_host,
            allowed_hosts=tuple(sorted({*loaded.allowed_hosts, *args.allow_host})),
        )
        # what is loaded stays; looking through it for garbage is a tenth of loading it
        gc.disable()
        role = importlib.import_module(ROLES[args.role])
        gc.enable()
        if args.role == "call":
            return cast(int, role.main(loaded, args.method, args.path, sys.stdin.read()))
        if args.role == "import":
            return cast(int, role.main(loaded, sys.stdin.read()))
        return cast(int, role.main(loaded))
    except SettingsError as exc:
        sys.stderr.write(f"{exc}\n")
        return EXIT_SETTINGS


if __name__ == "__main__":
    sys.exit(main())
