"""What ``/api/v1/historify/*`` accepts. Dates are trading days (IST), both inclusive."""

from __future__ import annotations

from datetime import date
from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from gateway.api.fields import EXCHANGES, Whole, named, one_of
from gateway.api.schemas import KeyOnly, SymbolItem
from historify.jobs.model import ItemState, JobState, Mode
from historify.model import DAY, INTERVALS, MINUTE, STORED
from historify.portable.exporting import Format

NAME = validate.Length(min=1, max=60)
MOST_TEXT = 900_000
"""A body is at most 1 MiB; larger files are uploaded in parts."""


def day(*, required: bool = False) -> fields.Date:
    if required:
        return fields.Date(required=True, format="%Y-%m-%d")
    return fields.Date(load_default=None, format="%Y-%m-%d")


def count(default: int, most: int) -> Whole:
    return Whole(load_default=default, validate=validate.Range(min=0, max=most))


def symbols(*, required: bool = True) -> fields.List[Any]:
    return fields.List(fields.Nested(SymbolItem), required=required, validate=validate.Length(max=20_000))


def stored_intervals() -> fields.List[Any]:
    return fields.List(fields.String(validate=validate.OneOf(STORED)), load_default=lambda: [MINUTE, DAY])


class InOrder(KeyOnly):
    """Checks ``start_date`` against ``end_date`` where a request has both."""

    @validates_schema
    def _in_order(self, data: dict[str, Any], **_: Any) -> None:
        start, end = data.get("start_date"), data.get("end_date")
        if isinstance(start, date) and isinstance(end, date) and start > end:
            raise ValidationError("start_date must not be after end_date.", "start_date")


class StoreCatalog(KeyOnly):
    """``GET /historify/catalog``: all series, or those of an exchange or a symbol."""

    exchange = fields.String(load_default=None, validate=validate.OneOf(EXCHANGES))
    symbol = fields.String(load_default=None, validate=validate.Length(min=1, max=100))


class StoreCoverage(InOrder):
    """``GET /historify/coverage``: which days of one series are stored."""

    exchange = one_of(EXCHANGES)
    symbol = named(longest=100)
    interval = fields.String(required=True, validate=validate.OneOf(STORED))
    start_date = day(required=True)
    end_date = day(required=True)


class StoreJobs(KeyOnly):
    """``GET /historify/jobs``, newest first; ``before`` a job id pages on."""

    state = fields.String(load_default=None, validate=validate.OneOf([str(s) for s in JobState]))
    limit = count(50, 500)
    before = Whole(load_default=None, allow_none=True)


class StoreJobOf(KeyOnly):
    """One job by its id."""

    job = Whole(required=True)


class StoreJobItems(StoreJobOf):
    """The series of one job, a page at a time."""

    state = fields.String(load_default=None, validate=validate.OneOf([str(s) for s in ItemState]))
    limit = count(1000, 5000)
    offset = count(0, 1_000_000)


class StorePull(InOrder):
    """``symbols`` or the name of a ``watchlist``."""

    symbols = symbols(required=False)
    watchlist = fields.String(load_default="", validate=validate.Length(max=60))
    intervals = stored_intervals()
    start_date = day(required=True)
    end_date = day(required=True)
    mode = one_of([str(mode) for mode in Mode], str(Mode.MISSING))
    priority = Whole(load_default=0, validate=validate.Range(min=-100, max=100))


class StoreTaskOf(KeyOnly):
    """One import or other work on the store, by its id."""

    task = Whole(required=True)


class StoreTasks(KeyOnly):
    """Imports and other work on the store, newest first."""

    limit = count(50, 500)


class StoreListName(KeyOnly):
    """A watchlist or a schedule by its name."""

    name = fields.String(required=True, validate=NAME)


class StoreListChange(StoreListName):
    """A list that is not there is made. What is on it already stays."""

    add = symbols(required=False)
    remove = symbols(required=False)


class StoreSchedule(StoreListName):
    """A download that repeats: ``every_s`` seconds, or ``at`` a time IST on ``days`` (0 is Monday)."""

    symbols = symbols(required=False)
    watchlist = fields.String(load_default="", validate=validate.Length(max=60))
    intervals = stored_intervals()
    lookback_days = count(5, 365)
    every_s = count(0, 86_400)
    at = fields.String(load_default="", validate=validate.Length(max=5))
    days = fields.List(Whole(validate=validate.Range(0, 6)), load_default=lambda: [0, 1, 2, 3, 4])
    window = fields.List(fields.String(), load_default=None, validate=validate.Length(equal=2))
    market = fields.Boolean(load_default=False)
    exchange = one_of(EXCHANGES, "NSE")
    enabled = fields.Boolean(load_default=True)


class StoreUpload(KeyOnly):
    """A part of a file, as text or base64; ``upload`` adds it to an earlier one."""

    upload = fields.String(load_default="", validate=validate.Regexp(r"([0-9a-f]{32})?\Z"))
    text = fields.String(load_default=None, validate=validate.Length(max=MOST_TEXT))
    base64 = fields.String(load_default=None, validate=validate.Length(max=MOST_TEXT))

    @validates_schema
    def _one_of_both(self, data: dict[str, Any], **_: Any) -> None:
        if (data.get("text") is None) == (data.get("base64") is None):
            raise ValidationError("Either text or base64.", "text")


class StoreImport(KeyOnly):
    """``csv`` text, or an ``upload``. What the file does not say: exchange, symbol, interval."""

    csv = fields.String(load_default=None, validate=validate.Length(max=MOST_TEXT))
    upload = fields.String(load_default=None, validate=validate.Regexp(r"[0-9a-f]{32}\Z"))
    name = fields.String(load_default="upload", validate=validate.Length(max=100))
    exchange = fields.String(load_default="", validate=validate.OneOf(["", *EXCHANGES]))
    symbol = fields.String(load_default="", validate=validate.Length(max=100))
    interval = fields.String(load_default="", validate=validate.Length(max=10))
    zone = fields.String(load_default="Asia/Kolkata", validate=validate.Length(max=60))
    skip_bad = fields.Boolean(load_default=False)
    dry_run = fields.Boolean(load_default=False)

    @validates_schema
    def _one_of_both(self, data: dict[str, Any], **_: Any) -> None:
        if (data.get("csv") is None) == (data.get("upload") is None):
            raise ValidationError("Either csv or upload.", "csv")


class StoreActions(KeyOnly):
    """Splits and bonuses as CSV: exchange,symbol,ex_date,kind,ratio,note."""

    csv = fields.String(required=True, validate=validate.Length(min=1, max=MOST_TEXT))


class StoreExport(InOrder):
    """``symbols``: separated by commas. Of several instruments a zip, txt, csv or parquet holds all."""

    exchange = one_of(EXCHANGES)
    symbols = named(longest=8000)
    interval = fields.String(required=True, validate=validate.OneOf(INTERVALS))
    start_date = day(required=True)
    end_date = day(required=True)
    format = one_of([str(each) for each in Format], str(Format.CSV))
    adjusted = fields.Boolean(load_default=False)


class StoreDelete(InOrder):
    """Whole series, or their days from ``start_date`` to ``end_date``."""

    symbols = fields.List(fields.Nested(SymbolItem), required=True, validate=validate.Length(1, 20_000))
    intervals = stored_intervals()
    start_date = day()
    end_date = day()
