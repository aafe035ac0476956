"""What the traffic page makes of log lines: whole ones, each once, of one instance, without a secret."""

from __future__ import annotations

import json

import pytest
from marshmallow import ValidationError

from brokers.redact import Redactor
from brokers.secret import Secret
from gateway.web.traffic import LinesOf, Requests, Tail, by_endpoint, lines_of, request_of

AT = "2026-11-20T05:00:00.000+00:00"
AT_S = 1_795_150_800.0


def line(message="request", **more):
    return json.dumps({"time": AT, "level": "INFO", "logger": "x", "message": message, **more})


def asked(path="/api/v1/quotes", status="200", ms=2.0, method="POST"):
    return line(method=method, path=path, status=status, ms=ms)


def wanted(**given):
    return LinesOf().load(given)


def test_a_log_is_read_on_from_where_the_last_look_ended_also_in_a_new_file(tmp_path):
    path = tmp_path / "api.log"
    tail = Tail(path)
    assert tail.read() == []
    path.write_text("one\ntwo\nhal")
    assert tail.read() == [b"one", b"two"]
    with path.open("a") as file:
        file.write("f\n")
    assert tail.read() == [b"half"]
    path.rename(tmp_path / "api.log.1")
    path.write_text("new\n")
    assert tail.read() == [b"new"]


def test_the_first_look_at_a_long_log_begins_near_its_end_with_a_whole_line(tmp_path):
    path = tmp_path / "api.log"
    path.write_text("".join(f"line {number}\n" for number in range(1000)))
    assert Tail(path, begin_bytes=25).read() == [b"line 998", b"line 999"]


def test_requests_are_counted_by_endpoint_with_their_numbers_left_out():
    lines = [
        asked(),
        asked(status="500", ms=8.0),
        asked("/web/api/orders/17/events", "404", 1.0, "GET"),
        line("other"),
    ]
    found = [one for text in lines if (one := request_of(text.encode())) is not None]
    rows = {row["endpoint"]: row for row in by_endpoint(found, 2.0)}
    assert rows["POST /api/v1/quotes"] == {
        "endpoint": "POST /api/v1/quotes", "count": 2, "per_s": 1.0, "refused": 0, "failed": 1,
        "p50_ms": 2.0, "p95_ms": 2.0, "max_ms": 8.0,
    }  # fmt: skip
    assert rows["GET /web/api/orders/…/events"]["refused"] == 1
    assert len(rows) == 2


def test_requests_leave_the_window_as_time_goes_on(tmp_path):
    path = tmp_path / "api.log"
    path.write_text(asked() + "\n")
    requests = Requests(Tail(path))
    assert [row["count"] for row in requests.look(AT_S + 10, 60)["endpoints"]] == [1]
    assert requests.look(AT_S + 100, 60)["endpoints"] == []


def test_log_lines_are_filtered_followed_and_cleaned_once_more(tmp_path):
    path = tmp_path / "api.log"
    secret = "s3cr3t-of-the-broker"
    path.write_text(
        "\n".join([line("started"), line("order sent", level="WARNING"), f"Fatal: {secret}"]) + "\n"
    )
    redactor = Redactor([Secret(secret)])
    first = lines_of(path, wanted(), redactor)
    assert [row["message"] for row in first["lines"]] == ["started", "order sent", "Fatal: ***"]
    assert [
        row["message"] for row in lines_of(path, wanted(level="WARNING", q="ORDER"), redactor)["lines"]
    ] == ["order sent"]
    assert lines_of(path, wanted(after=first["after"]), redactor)["lines"] == []
    with path.open("a") as file:
        file.write(line("next") + "\n")
    again = lines_of(path, wanted(after=first["after"]), redactor)
    assert [row["message"] for row in again["lines"]] == ["next"]


@pytest.mark.parametrize(
    "given", [{"process": "../kotak.api"}, {"process": "supervisor"}, {"after": "-1"}, {"level": "x"}]
)
def test_no_other_log_can_be_named(given):
    with pytest.raises(ValidationError):
        wanted(**given)
