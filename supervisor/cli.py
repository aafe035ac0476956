"""The command line. Exit codes: 0 done; 1 something failed; 2 wrong use or settings, nothing started."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import click

import gateway
from brokers.errors import AlgoError, SettingsError
from gateway.home import find_home
from supervisor.helptexts import COMPLETION, EXIT_CODES, epilog

COMMANDS = {
    "init": ("init", "Write an instance's env file, or take over an OpenAlgo one."),
    "up": ("up", "Start instances and show their state."),
    "down": ("down", "Stop instances; nothing is left behind."),
    "restart": ("down", "Stop and start instances."),
    "status": ("status", "What runs, and how it is."),
    "watch": ("watch", "What happens, as JSON lines, until Ctrl-C."),
    "logs": ("logs", "What the processes wrote, merged by time."),
    "login": ("login", "Log in to the broker."),
    "key": ("key", "API keys: create, list, revoke."),
    "route": ("route", "One address for orders to the best instance: its keys and decisions."),
    "strategy": ("strategy", "Strategies whose alerts become orders: create, list, alerts …"),
    "approvals": ("approvals", "Semi-auto mode: orders that wait for your word."),
    "brokers": ("brokers", "What each broker can do, side by side."),
    "ticks": ("ticks", "Live ticks in the terminal."),
    "history": ("history", "Candles: pull, import, export; one store for all instances."),
    "doctor": ("doctor", "What is wrong here, and the command that mends it."),
    "record": ("record", "Keep the raw frames of a feed, to play them again."),
    "replay": ("replay", "Play a recording into a throw-away instance."),
    "backup": ("backup", "Env files and databases into one file, also while instances run."),
    "restore": ("backup", "Put a backup back; what was there is kept aside."),
    "run": ("run", "One process in the foreground, for service managers."),
    "export": ("export", "Units, compose files and proxy settings from the same settings."),
    "orders": ("orders", "Orders of unknown outcome: list them, resolve one of an earlier day."),
    "compare": ("compare", "Which broker is better: the day's orders, order probes, tick race."),
    "panic": ("panic", "Block entries and cancel open orders on every instance; --resume."),
    "instruments": ("instruments", "Refresh an instance's instrument table."),
    "sim": ("sim", "Simulated brokers alone, for other programs."),
}


class Commands(click.Group):
    """Loads ``supervisor.commands.<module>`` when its command is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"supervisor.commands.{COMMANDS[cmd_name][0]}")
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        _with_examples(command, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _with_examples(command: click.Command, path: str) -> None:
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            # its first sentence whole, where click would cut it to the width of the terminal
            inner.short_help = inner.short_help or _first_sentence(inner.help or "")
            _with_examples(inner, f"{path} {name}")
    elif "Example" not in (command.help or ""):
        command.epilog = epilog(path)


def _first_sentence(text: str) -> str:
    paragraph = " ".join(text.strip().partition("\n\n")[0].split())
    return re.split(r"(?<=\.) (?=[A-Z])", paragraph, maxsplit=1)[0]


@click.group(
    epilog=f"{EXIT_CODES}\n\n{COMPLETION}",
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--home", default=None, help="Where instances/ and db/ live (default: found upward, or ~/algo)."
)
@click.version_option(package_name="algo-gateways", prog_name="algo")
@click.pass_context
def algo(ctx: click.Context, home: str | None) -> None:
    """One isolated, OpenAlgo-compatible gateway per broker, side by side.

    \b
    Try it without an account:
      algo up kotak dhan --sim
    Coming from OpenAlgo:
      algo init --from ~/openalgo
    """
    ctx.obj = find_home(home)


def _check_not_shadowed() -> None:
    """The package ``supervisor`` on the index has our import name and would merge with it silently."""
    ours = Path(gateway.__file__).resolve().parent.parent
    here = Path(__file__).resolve().parent.parent
    if here != ours:
        raise SettingsError(
            f"`supervisor` is loaded from {here} but `gateway` from {ours}: another package named supervisor "
            "is installed here. Use the project's own virtual environment (scripts/up makes it)."
        )


def main() -> None:
    """Entry of ``algo``: errors of ours become one line and an exit code."""
    try:
        _check_not_shadowed()
        # outside standalone mode click returns what ``ctx.exit`` was given instead of raising it
        sys.exit(algo.main(prog_name="algo", standalone_mode=False) or 0)
    except SettingsError as exc:
        click.echo(f"algo: {exc}", err=True)
        sys.exit(2)
    except AlgoError as exc:
        click.echo(f"algo: {exc}", err=True)
        sys.exit(1)
    except click.exceptions.Abort:
        sys.exit(1)
    except click.ClickException as exc:
        exc.show()
        sys.exit(2)


if __name__ == "__main__":
    main()
