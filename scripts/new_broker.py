#!/usr/bin/env python3
"""Write the folder of a new broker: it passes the contract's shape checks and says what to fill in.

    scripts/new_broker.py fyers --title Fyers

What brokers share is on the floor (``brokers/*.py``); what is written here is a broker's own. Each place that
is not filled in raises ``NotSupported`` with the place's name, never a wrong answer. No other file is edited:
``brokers.registry`` finds the folder. ``tests/contract/third/zenith`` is one filled in, with its simulator.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path
from string import Template

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = Path(__file__).resolve().parent / "broker_template"
NAME = re.compile(r"[a-z][a-z0-9]{1,30}")
PLACE = re.compile(r'missing\(\s*"([^"]+)"|(fill in: [^"\n]+)')
MOST_LINES = 1200
"""Of a broker's folder, all its files together."""


def write(name: str, title: str, root: Path) -> list[Path]:
    """Write a broker's folder and its tests' skeleton below ``root``.

    Returns:
        The files, in the order of the template.

    Raises:
        ValueError: The name is not one, or the folder is there already.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name: 2 to 31 small letters and digits, a letter first")
    folder = root / "brokers" / name
    if folder.exists() or (root / "brokers" / f"{name}.py").exists():
        raise ValueError(f"brokers/{name} is there already")
    words = {"name": name, "title": title, "cls": name.capitalize(), "env": name.upper()}
    made = []
    for source in sorted(TEMPLATE.rglob("*.txt")):
        place = source.relative_to(TEMPLATE).as_posix().replace("NAME", name).removesuffix(".txt")
        path = root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(Template(source.read_text()).substitute(words))
        made.append(path)
    _tidy(made, root)
    return made


def _tidy(made: list[Path], root: Path) -> None:
    """Sort imports and break lines: both depend on the name."""
    for argv in (["check", "--quiet", "--select", "I", "--fix"], ["format", "--quiet"]):
        subprocess.run([sys.executable, "-m", "ruff", *argv, *map(str, made)], cwd=root, check=True)


def places(files: list[Path], root: Path) -> list[str]:
    """``file:line what`` of every place to fill in."""
    found = []
    for path in files:
        text = path.read_text()
        for place in PLACE.finditer(text):
            number = text.count("\n", 0, place.start()) + 1
            found.append(f"{path.relative_to(root)}:{number}  {place[1] or place[2]}")
    return found


def main() -> int:
    """The command line; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help="of the folder, the instance and the simulator: fyers")
    parser.add_argument("--title", help="as a person writes it: Fyers")
    parser.add_argument("--into", type=Path, default=ROOT, help="another tree than this one")
    args = parser.parse_args()
    try:
        made = write(args.name, args.title or args.name.capitalize(), args.into)
    except (ValueError, subprocess.CalledProcessError) as exc:
        print(exc, file=sys.stderr)
        return 2
    code = [path for path in made if path.is_relative_to(args.into / "brokers")]
    lines = sum(len(path.read_text().splitlines()) for path in code)
    print(f"{len(made)} files; brokers/{args.name} has {lines} of at most {MOST_LINES} lines. To fill in:\n")
    print("\n".join(places(made, args.into)))
    print(
        f"""
Then:
  .venv/bin/pytest tests/contract/test_shape.py -k {args.name}   the shape, green from the start
  algo init {args.name}                                          its env file, from the SPEC
  brokers/sim/{args.name}/venue.py, brokers/sim/settings.py      its simulator, and the contract suite runs
  pyproject.toml, [tool.importlinter]                         add brokers.{args.name} beside the others
  instances/{args.name}.env.example                              from supervisor.setup.envfile.example"""
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
