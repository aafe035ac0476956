"""Composition root of the feed process: everything is built here and handed to those who need it."""

from __future__ import annotations

from dataclasses import dataclass

from brokers.calendar import AlwaysOpen, Calendar, FileCalendar
from brokers.clock import Clock
from brokers.model import OrderUpdate, Venue
from gateway.settings import Settings
from gateway.stream import protocol, recording
from gateway.stream.apilink import ApiLink
from gateway.stream.badframes import BadFrames
from gateway.stream.bus import Bus
from gateway.stream.client import Facts
from gateway.stream.door import Gate
from gateway.stream.fanout import Fanout
from gateway.stream.heartbeat import Heartbeat
from gateway.stream.hub import ASKED, POSITIONS, WORKING_ORDERS, Hub
from gateway.stream.orders import OrderChannel
from gateway.stream.recorder import Recordings
from gateway.stream.recording import Header
from gateway.stream.records import Records
from gateway.stream.relay import OrderRelay
from gateway.stream.server import StreamServer
from gateway.stream.standing import Account, Standing, Topics
from gateway.stream.status import Status
from gateway.stream.upstream import Upstream

RANKS = {"pinned": ASKED, "positions": POSITIONS, "orders": WORKING_ORDERS, "zmq": ASKED}
"""Who subscribes without being a client, and who gives way when the broker carries no more."""


@dataclass(frozen=True, slots=True)
class Composed:
    """Everything a feed process is made of, nothing of it started, no port bound.

    Attributes:
        records: The instance's database, read only.
        link: The way to the api process.
        relay, orders: Pushed order updates to the api, and out of its journal to those who follow them.
        upstream: The broker's feed; what it says goes into ``fanout``.
        standings: Subscriptions that need no client, by the names of ``RANKS``.
        account, topics: What asks for them: the account's positions and orders, ZeroMQ's subscribers.
    """

    calendar: Calendar
    records: Records
    link: ApiLink
    relay: OrderRelay
    orders: OrderChannel
    upstream: Upstream
    fanout: Fanout
    standings: dict[str, Standing]
    account: Account
    topics: Topics
    bus: Bus
    status: Status
    server: StreamServer
    heartbeat: Heartbeat
    recordings: Recordings


def compose(settings: Settings, clock: Clock) -> Composed:
    """Build one feed process; must run in its event loop."""
    always = settings.venue is Venue.SIM and settings.sim_hours == "always"
    calendar: Calendar = AlwaysOpen() if always else FileCalendar()
    records = Records(settings, clock)
    link = ApiLink(settings)
    bad_frames = BadFrames(settings.log_dir / f"{settings.name}.bad-frames.jsonl", clock.now)
    orders = OrderChannel(records, broker=settings.broker, user=settings.name)
    relay = OrderRelay(link, delivered=orders.nudge)

    def pushed(update: OrderUpdate) -> None:
        relay.add(update)
        account.look_now(update.order.key)

    def pushed_first(update: OrderUpdate) -> None:
        _tell(settings, server, bus, update)

    upstream = Upstream(on_order=pushed, on_new_order=pushed_first, bad_frames=bad_frames)
    fanout = Fanout(
        Hub(settings.stream.max_symbols, settings.broker, settings.spec.capabilities.book_levels),
        want=upstream.want,
        table=records.table,
        monotonic=clock.monotonic,
    )
    upstream.join(fanout)
    standings = {name: Standing(fanout, name, rank) for name, rank in RANKS.items()}
    account = Account(standings["positions"], standings["orders"], link)
    topics = Topics(standings["zmq"])
    bus = Bus(topics.heard)
    fanout.attach(bus)
    status = Status(
        settings,
        clock,
        calendar=calendar,
        upstream=upstream,
        fanout=fanout,
        bus=bus,
        relay=relay,
        standings=standings,
        database_problem=lambda: records.problem,
        bad_frames=lambda: bad_frames.count,
    )
    server = _server(settings, clock, fanout, records, status, orders)
    heartbeat = _heartbeat(settings, clock, upstream, fanout, status, relay)
    return Composed(
        calendar=calendar,
        records=records,
        link=link,
        relay=relay,
        orders=orders,
        upstream=upstream,
        fanout=fanout,
        standings=standings,
        account=account,
        topics=topics,
        bus=bus,
        status=status,
        server=server,
        heartbeat=heartbeat,
        recordings=_recordings(settings, always, upstream, fanout),
    )


def _server(
    settings: Settings,
    clock: Clock,
    fanout: Fanout,
    records: Records,
    status: Status,
    orders: OrderChannel,
) -> StreamServer:
    facts = Facts(settings.broker, settings.name, status.adapter_status, status.around, status.pages())
    gate = Gate(settings.allowed_hosts, (settings.port, settings.ws_port))
    server = StreamServer(
        fanout, records, gate, facts, clock, settings.stream, orders=orders, visitors=records
    )
    status.watch(server)
    return server


def _heartbeat(
    settings: Settings, clock: Clock, upstream: Upstream, fanout: Fanout, status: Status, relay: OrderRelay
) -> Heartbeat:
    heartbeat = Heartbeat(
        settings,
        clock,
        upstream=upstream,
        fanout=fanout,
        around=status.around,
        drops=status.drops,
        on_gap=relay.missed,
    )
    status.pulse(heartbeat)
    return heartbeat


def _recordings(settings: Settings, always: bool, upstream: Upstream, fanout: Fanout) -> Recordings:
    header = Header(
        recording.FORMAT,
        settings.broker,
        settings.venue.value,
        settings.name,
        "always" if always else "file",
        0,
        options=dict(settings.options),
    )
    folder = settings.log_dir.parent / "record"
    return Recordings(folder, header, renew=upstream.renew, channels=lambda: list(fanout.hub.channels()))


def _tell(settings: Settings, server: StreamServer, bus: Bus, update: OrderUpdate) -> None:
    """A pushed update nobody was told of yet: to clients that asked for orders, and to ZeroMQ."""
    reply = protocol.order_update(update, broker=settings.broker, user=settings.name)
    server.send_order(reply)
    topic = f"{settings.broker.upper()}_{settings.name}_orders"
    bus.send(topic.encode(), protocol.encode(reply))
