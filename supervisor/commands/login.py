"""``algo login``."""

from __future__ import annotations

from pathlib import Path

import click

from supervisor.client import CommandFailed, ask_api, chosen, load_running, message_of


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--totp", help="The code of your authenticator (asked for when no seed is stored).")
@click.pass_obj
def login(home: Path, names: tuple[str, ...], totp: str | None) -> None:
    """Log in to the broker of running instances."""
    failed = []
    for name in chosen(home, names):
        one = load_running(home, name)
        code = totp
        seeded = any(key.endswith("TOTP_SECRET") or key.endswith("ACCESS_TOKEN") for key in one.credentials)
        if code is None and not seeded:
            code = click.prompt(f"{name}: TOTP code", hide_input=True)
        status, answer = ask_api(one, "POST", "/internal/login", {"totp": code})
        if status == 200:
            click.echo(f"{name}: logged in, session valid until {answer.get('expires_at', '?')}")
        else:
            failed.append(f"{name}: {message_of(answer, f'HTTP {status}')}")
    if failed:
        raise CommandFailed("; ".join(failed))
