"""``/api/v1/historify/*``: the market-data store of the home, through any of its instances.

Reads need no puller; pulls, imports and deletions are queued for it. No broker session is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

from flask import Blueprint, Response
from marshmallow import Schema

from brokers.errors import InvalidRequest
from brokers.model import InstrumentKey
from gateway.api import historify_schemas as schemas
from gateway.api import historify_verify
from gateway.api.dispatch import PREFIX, Dispatcher
from gateway.api.historify_uploads import Uploads
from gateway.api.parts import Call, Endpoint, Handler, Parts
from gateway.api.quotes import store_of
from gateway.api.schemas import KeyOnly
from gateway.marketdata.history import History, NoBars
from gateway.scopes import Scope
from historify.jobs.model import ItemState, Job, JobRequest, JobState, Key, Mode, Schedule
from historify.model import BarRequest, Series
from historify.portable import exporting, importing, plain
from historify.portable.exporting import Format
from historify.portable.importing import ImportOptions
from historify.reader import actions

Body = dict[str, Any]


def _ok(data: object, **more: object) -> Body:
    return {"status": "success", "data": data, **more}


# --- what is there


def catalog(parts: Parts, call: Call) -> Body:
    """Every stored series with its range, rows and bytes."""
    rows = store_of(parts).store.catalog(call.data["exchange"], call.data["symbol"])
    return _ok([plain.catalog(row) for row in rows])


def coverage(parts: Parts, call: Call) -> Body:
    """Which trading days were asked for, and the gaps."""
    data, history = call.data, store_of(parts)
    series = Series(data["exchange"], data["symbol"], data["interval"])
    start, end = data["start_date"], data["end_date"]
    known = history.store.coverage(series, start, end)
    return _ok(plain.coverage(series, start, end, known, history.calendar, history.clock.now()))


def intervals(parts: Parts, _call: Call) -> Body:
    """What is stored, and what is computed from it."""
    store_of(parts)
    return _ok(plain.intervals())


def status(parts: Parts, _call: Call) -> Body:
    """How much is stored, who fills it, and whether that one answers."""
    history = store_of(parts)
    rows = history.store.catalog()
    port = parts.settings.store.port
    return _ok(plain.status(rows, history.control, history.clock, jobs=history.queue.counts(), port=port))


# --- jobs


def jobs(parts: Parts, call: Call) -> Body:
    """Download jobs, newest first."""
    state = call.data["state"]
    states = None if state is None else [JobState(state)]
    found = store_of(parts).queue.listing(states, limit=call.data["limit"], before=call.data["before"])
    return _ok([plain.job(one) for one in found])


def job(parts: Parts, call: Call) -> Body:
    """One job with its series and what went wrong with each."""
    queue, data = store_of(parts).queue, call.data
    state = None if data["state"] is None else ItemState(data["state"])
    items = queue.items(data["job"], state, limit=data["limit"], offset=data["offset"])
    return _ok({**plain.job(queue.show(data["job"])), "items": [plain.item(one) for one in items]})


def pull(parts: Parts, call: Call) -> Body:
    """Queue a download; an equal one that is still open answers instead."""
    data, history = call.data, store_of(parts)
    keys = _keys(data.get("symbols"))
    if bool(keys) == bool(data["watchlist"]):
        raise InvalidRequest(
            "Either symbols or a watchlist is needed.", fields={"symbols": ["Or a watchlist."]}
        )
    if data["watchlist"]:
        keys = history.watchlists.keys(data["watchlist"])
    else:
        _must_be_known(parts, keys)
    wish = JobRequest(
        tuple(keys),
        tuple(data["intervals"]),
        data["start_date"],
        data["end_date"],
        Mode(data["mode"]),
        f"api {parts.settings.name}",
        data["priority"],
    )
    made, new = history.queue.enqueue(wish)
    return _ok(plain.job(made), new=new)


def pause(parts: Parts, call: Call) -> Body:
    """Stop a job after its present broker call."""
    return _moved(store_of(parts).queue.pause(call.data["job"]))


def resume(parts: Parts, call: Call) -> Body:
    """Go on with a paused job."""
    return _moved(store_of(parts).queue.resume(call.data["job"]))


def cancel(parts: Parts, call: Call) -> Body:
    """End a job; what it pulled stays."""
    return _moved(store_of(parts).queue.cancel(call.data["job"]))


def retry(parts: Parts, call: Call) -> Body:
    """Ask again for the series of a job that failed."""
    return _moved(store_of(parts).queue.retry_failed(call.data["job"]))


def _moved(one: Job) -> Body:
    return _ok(plain.job(one))


# --- watchlists and schedules


def watchlists(parts: Parts, _call: Call) -> Body:
    """Named lists of instruments."""
    return _ok([plain.watchlist(one) for one in store_of(parts).watchlists.listing()])


def watchlist(parts: Parts, call: Call) -> Body:
    """The instruments of one list."""
    lists, name = store_of(parts).watchlists, call.data["name"]
    keys = [{"exchange": exchange, "symbol": symbol} for exchange, symbol in lists.keys(name)]
    return _ok({**plain.watchlist(lists.show(name)), "keys": keys})


def change_watchlist(parts: Parts, call: Call) -> Body:
    """Put instruments on a list and take others off; a list that is not there is made."""
    lists, name = store_of(parts).watchlists, call.data["name"].strip()
    add, remove = _keys(call.data.get("add")), _keys(call.data.get("remove"))
    _must_be_known(parts, add)
    added = lists.add(name, add)
    removed = lists.remove(name, remove) if remove else 0
    return _ok(plain.watchlist(lists.show(name)), added=added, removed=removed)


def delete_watchlist(parts: Parts, call: Call) -> Body:
    """Drop a list; bars of its instruments stay."""
    store_of(parts).watchlists.delete(call.data["name"])
    return {"status": "success", "message": f"watchlist {call.data['name']} is deleted"}


def schedules(parts: Parts, _call: Call) -> Body:
    """Downloads that repeat, each with its next and last run."""
    found = store_of(parts).schedules
    return _ok([plain.schedule(row, found.upcoming(row)) for row in found.listing()])


def add_schedule(parts: Parts, call: Call) -> Body:
    """Make a download repeat, once for the whole home."""
    data, found = call.data, store_of(parts).schedules
    spec = Schedule(
        name=data["name"],
        watchlist=data["watchlist"],
        keys=tuple(_keys(data.get("symbols"))),
        intervals=tuple(data["intervals"]),
        lookback_days=data["lookback_days"],
        every_s=data["every_s"],
        at=data["at"],
        days=tuple(data["days"]),
        window=None if data["window"] is None else (data["window"][0], data["window"][1]),
        market=data["market"],
        exchange=data["exchange"],
        enabled=data["enabled"],
    )
    row = found.add(spec)
    return _ok(plain.schedule(row, found.upcoming(row)))


def run_schedule(parts: Parts, call: Call) -> Body:
    """Queue a schedule's download now."""
    made = store_of(parts).schedules.run_now(call.data["name"], requested_by=f"api {parts.settings.name}")
    return _ok({"job": made})


def pause_schedule(parts: Parts, call: Call) -> Body:
    """Let a schedule rest."""
    return _schedule(store_of(parts), call.data["name"], on=False)


def resume_schedule(parts: Parts, call: Call) -> Body:
    """Let a schedule run again."""
    return _schedule(store_of(parts), call.data["name"], on=True)


def _schedule(history: History, name: str, *, on: bool) -> Body:
    found = history.schedules
    row = found.resume(name) if on else found.pause(name)
    return _ok(plain.schedule(row, found.upcoming(row)))


def schedule_runs(parts: Parts, call: Call) -> Body:
    """When a schedule ran, newest first."""
    return _ok([plain.schedule_run(one) for one in store_of(parts).schedules.runs(call.data["name"])])


def delete_schedule(parts: Parts, call: Call) -> Body:
    """Drop a schedule; its jobs stay."""
    store_of(parts).schedules.delete(call.data["name"])
    return {"status": "success", "message": f"schedule {call.data['name']} is deleted"}


# --- in and out


def upload(parts: Parts, call: Call) -> Body:
    """Take a file in parts of up to 1 MiB; import it with its id."""
    data = call.data
    made, size = _uploads(parts).add(data["upload"], data["text"], data["base64"])
    return _ok({"upload": made, "bytes": size})


def take(parts: Parts, call: Call) -> Body:
    """Import a CSV or Parquet file; with ``dry_run`` only look at it."""
    data, history, uploads = call.data, store_of(parts), _uploads(parts)
    names = ("exchange", "symbol", "interval", "zone", "skip_bad")
    options = ImportOptions(**{name: data[name] for name in names})
    made = data["upload"] or uploads.add("", data["csv"], None)[0]
    path = uploads.path(made)
    now_s = int(history.clock.now().timestamp())
    if data["dry_run"]:
        try:
            return _ok(importing.check(path, options, now_s=now_s, name=data["name"]).plain(), upload=made)
        finally:
            if not data["upload"]:
                path.unlink(missing_ok=True)
    by = f"api {parts.settings.name}"
    task = history.tasks.add_import(path, options, name=data["name"], owned=True, requested_by=by)
    return _ok(plain.task(task))


def take_actions(parts: Parts, call: Call) -> Body:
    """Import splits and bonuses, for adjusted views."""
    history = store_of(parts)
    found, errors = actions.parse(call.data["csv"].splitlines())
    if errors:
        raise InvalidRequest(
            f"{len(errors)} lines cannot be read; the first: {errors[0]}. Nothing was imported",
            fields={"csv": errors[:100]},
            code="IMPORT_REFUSED",
        )
    with history.control.transaction() as tx:
        count = actions.save(tx, found, int(history.clock.now().timestamp()))
    return _ok({"actions": count})


def tasks(parts: Parts, call: Call) -> Body:
    """Imports and deletions, newest first."""
    return _ok([plain.task(one) for one in store_of(parts).tasks.listing(call.data["limit"])])


def task(parts: Parts, call: Call) -> Body:
    """One import or deletion."""
    return _ok(plain.task(store_of(parts).tasks.show(call.data["task"])))


def cancel_task(parts: Parts, call: Call) -> Body:
    """End an import or deletion; what it wrote stays."""
    return _ok(plain.task(store_of(parts).tasks.cancel(call.data["task"])))


def delete(parts: Parts, call: Call) -> Body:
    """Queue the removal of stored series, or of some of their days."""
    data, history = call.data, store_of(parts)
    wanted = [
        (exchange, symbol, each) for exchange, symbol in _keys(data["symbols"]) for each in data["intervals"]
    ]
    there = {(row.series.exchange, row.series.symbol, row.series.interval) for row in history.store.catalog()}
    series = [Series(*each) for each in wanted if each in there]
    if not series:
        raise NoBars("none of these series is stored; GET /api/v1/historify/catalog lists those that are")
    task = history.tasks.add_delete(
        series, start=data["start_date"], end=data["end_date"], requested_by=f"api {parts.settings.name}"
    )
    return _ok(plain.task(task))


def export(parts: Parts, call: Call) -> Response:
    """Stream stored or computed bars as a file."""
    data, store = call.data, store_of(parts).store
    names = list(dict.fromkeys(name.strip() for name in data["symbols"].split(",") if name.strip()))
    keys = [(data["exchange"], name) for name in names]
    missing = [name for exchange, name in keys if not store.catalog(exchange, name)]
    if missing or not keys:
        raise NoBars(f"not stored: {', '.join(missing[:20]) or 'nothing was named'} on {data['exchange']}")
    start, end = data["start_date"], data["end_date"]
    requests = [BarRequest(e, s, data["interval"], start, end, data["adjusted"]) for e, s in keys]
    form = Format(data["format"])
    body = exporting.stream(store, requests, form)
    # the first part before the head: what is wrong with it is an error, not half a file
    first = next(body, b"")
    one = requests[0]
    name = (
        exporting.file_name(one, form.suffix) if len(requests) == 1 else f"bars_{one.interval}.{form.suffix}"
    )
    whole: Iterator[bytes] = chain([first], body)
    answer = Response(whole, content_type=form.content_type)
    answer.headers["Content-Disposition"] = f'attachment; filename="{name.replace(chr(34), "")}"'
    return answer


def _uploads(parts: Parts) -> Uploads:
    return Uploads(store_of(parts).paths.root / "uploads")


def _keys(items: list[dict[str, str]] | None) -> list[Key]:
    return list(dict.fromkeys((each["exchange"], each["symbol"]) for each in items or ()))


def _must_be_known(parts: Parts, keys: list[Key]) -> None:
    """Raises ``InvalidRequest`` (SYMBOL_NOT_FOUND) naming what the instrument table does not have."""
    if not parts.instruments.count():
        return
    unknown = [key for key in keys if parts.instruments.by_key(InstrumentKey(*key)) is None]
    if not unknown:
        return
    near = parts.instruments.nearest(unknown[0][1], unknown[0][0])
    hint = f" Did you mean {', '.join(near)}?" if near and len(unknown) == 1 else ""
    shown = ", ".join(f"{exchange}:{symbol}" for exchange, symbol in unknown[:20])
    raise InvalidRequest(
        f"{len(unknown)} of {len(keys)} symbols are unknown: {shown}.{hint}",
        fields={"invalid_symbols": [{"exchange": e, "symbol": s} for e, s in unknown[:1000]]},
        code="SYMBOL_NOT_FOUND",
    )


def _rows() -> Iterator[Endpoint]:
    def row(method: str, path: str, schema: type[Schema], handler: Handler) -> Endpoint:
        scope = Scope.DATA if method == "GET" else Scope.MANAGE
        name = f"historify/{path}"
        return Endpoint(
            method, name, "API_RATE_LIMIT", "V2", "key", schema, handler, scope=scope, key_header=True
        )

    yield row("GET", "catalog", schemas.StoreCatalog, catalog)
    yield row("GET", "coverage", schemas.StoreCoverage, coverage)
    yield row("GET", "intervals", KeyOnly, intervals)
    yield row("GET", "status", KeyOnly, status)
    yield row("GET", "jobs", schemas.StoreJobs, jobs)
    yield row("POST", "jobs", schemas.StorePull, pull)
    yield row("GET", "job", schemas.StoreJobItems, job)
    for name, handler in (("pause", pause), ("resume", resume), ("cancel", cancel), ("retry", retry)):
        yield row("POST", f"jobs/{name}", schemas.StoreJobOf, handler)
    yield row("GET", "watchlists", KeyOnly, watchlists)
    yield row("POST", "watchlists", schemas.StoreListChange, change_watchlist)
    yield row("GET", "watchlist", schemas.StoreListName, watchlist)
    yield row("POST", "watchlists/delete", schemas.StoreListName, delete_watchlist)
    yield row("GET", "schedules", KeyOnly, schedules)
    yield row("POST", "schedules", schemas.StoreSchedule, add_schedule)
    yield row("GET", "schedules/runs", schemas.StoreListName, schedule_runs)
    yield row("POST", "schedules/run", schemas.StoreListName, run_schedule)
    yield row("POST", "schedules/pause", schemas.StoreListName, pause_schedule)
    yield row("POST", "schedules/resume", schemas.StoreListName, resume_schedule)
    yield row("POST", "schedules/delete", schemas.StoreListName, delete_schedule)
    yield row("POST", "upload", schemas.StoreUpload, upload)
    yield row("POST", "import", schemas.StoreImport, take)
    yield row("POST", "actions", schemas.StoreActions, take_actions)
    yield row("GET", "export", schemas.StoreExport, export)
    yield row("POST", "delete", schemas.StoreDelete, delete)
    yield row("GET", "tasks", schemas.StoreTasks, tasks)
    yield row("GET", "task", schemas.StoreTaskOf, task)
    yield row("POST", "tasks/cancel", schemas.StoreTaskOf, cancel_task)
    yield row("GET", "verify", historify_verify.StoreVerify, historify_verify.look)
    yield row("POST", "verify", historify_verify.StoreRepair, historify_verify.look)


ENDPOINTS: tuple[Endpoint, ...] = tuple(_rows())
"""What OpenAlgo has as pages of its own session only, or not at all."""


def blueprint(parts: Parts) -> Blueprint:
    """Both slash forms, without redirects."""
    dispatcher = Dispatcher(parts)
    api = Blueprint("historify", __name__)
    for endpoint in ENDPOINTS:
        schema = endpoint.schema()

        def view(endpoint: Endpoint = endpoint, schema: Schema = schema) -> Response:
            return dispatcher.serve(endpoint, schema)

        name = f"{endpoint.method} {endpoint.path}"
        for form in (f"{PREFIX}/{endpoint.path}", f"{PREFIX}/{endpoint.path}/"):
            api.add_url_rule(form, name, view, methods=[endpoint.method], strict_slashes=True)
    return api
