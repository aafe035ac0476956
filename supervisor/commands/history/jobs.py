"""``algo history jobs``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from historify.portable import plain
from supervisor.commands.history.place import place, sim_option
from supervisor.commands.printing import json_option, shown


@click.group(invoke_without_command=True)
@sim_option
@json_option
@click.pass_context
def jobs(ctx: click.Context, sim: bool, as_json: bool) -> None:
    """Downloads: list, show, pause, resume, cancel, retry.

    \b
    Examples:
      algo history jobs
      algo history jobs show 12
      algo history jobs retry 12
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_jobs, sim=sim, as_json=as_json)


@jobs.command(name="list")
@click.option("--limit", default=20, show_default=True, help="Newest first.")
@sim_option
@json_option
@click.pass_obj
def list_jobs(home: Path, limit: int = 20, sim: bool = False, as_json: bool = False) -> None:
    """Downloads and imports, newest first."""
    with place(home, sim=sim) as one:
        found, tasks = one.queue.listing(limit=limit), one.tasks.listing(limit)
    if as_json:
        shown({"jobs": [plain.job(each) for each in found], "tasks": [plain.task(each) for each in tasks]})
        return
    table = Table(box=None, pad_edge=False)
    for name in ("job", "state", "what", "days", "done", "rows", "source", "error"):
        table.add_column(name)
    for job in found:
        what = ", ".join(symbol for _, symbol in job.first_keys[:3]) + ("…" if job.symbols > 3 else "")
        state = f"{job.state} (partial)" if job.partial else str(job.state)
        days = f"{job.start}..{job.end}"
        rows = f"{job.rows:,}"
        table.add_row(str(job.id), state, what, days, f"{job.progress:.0%}", rows, job.source, job.error)
    for task in tasks:
        what, rows = str(task.params.get("name", "")), f"{task.rows_done:,}"
        table.add_row(f"{task.kind} {task.id}", str(task.state), what, "", "", rows, "", task.error)
    Console().print(table if found or tasks else "no jobs; the first: algo history pull --symbols SBIN")


@jobs.command(name="show")
@click.argument("job_id", type=int)
@sim_option
@json_option
@click.pass_obj
def show_job(home: Path, job_id: int, sim: bool, as_json: bool) -> None:
    """One download with its series; what failed says why."""
    with place(home, sim=sim) as one:
        job, items = one.queue.show(job_id), one.queue.items(job_id)
    if as_json:
        shown({**plain.job(job), "items": [plain.item(each) for each in items]})
        return
    click.echo(f"job {job.id} is {job.state}, {job.progress:.0%}, {job.rows:,} rows, by {job.requested_by}")
    if job.error:
        click.echo(job.error)
    for each in items:
        click.echo(f"  {each.series}: {each.state}, {each.rows:,} rows {each.error}")


def _mover(name: str, text: str) -> Any:
    @jobs.command(name=name, help=text)
    @click.argument("job_id", type=int)
    @sim_option
    @json_option
    @click.pass_obj
    def move(home: Path, job_id: int, sim: bool, as_json: bool) -> None:
        with place(home, sim=sim) as one:
            job = getattr(one.queue, MOVES[name][0])(job_id)
        if as_json:
            shown(plain.job(job))
        else:
            click.echo(f"job {job.id} is {job.state}")

    return move


MOVES = {
    "pause": ("pause", "Stop a download after its present call."),
    "resume": ("resume", "Go on with a paused download."),
    "cancel": ("cancel", "End a download; what it brought stays."),
    "retry": ("retry_failed", "Ask again for the series that failed."),
}
for _name, (_, _text) in MOVES.items():
    _mover(_name, _text)


COMMANDS = (jobs,)
