// Dashboard: is everything well, what is it worth, what is open. Every number says how old it is.
import { html, mount, useEffect, useMemo, useState } from "../lib/ui.js";
import { state, books, now, socket } from "../lib/live.js";
import { get } from "../lib/api.js";
import { Age, Card, Facts } from "../lib/widgets.js";
import { Line } from "../lib/chart.js";
import { OrdersTable } from "./orders.js";
import { PositionsTable } from "./positions.js";
import { inr, count, span, when, sign, signed, known, compact } from "../lib/fmt.js";
import "../lib/shell.js";

const STATE_S = 5, BOOKS_S = 15, TICK_S = 10;
const SESSION = {
  valid: ["logged in", "good"], none: ["not logged in", "bad"],
  expired: ["expired", "bad"], refused: ["refused by the broker", "bad"],
};

function Session({ found }) {
  const session = found.state.broker_session;
  const [words, kind] = SESSION[session.state] || [session.state, "warn"];
  const issued = found.session.issued_at ? (now.value - new Date(found.session.issued_at)) / 1000 : null;
  return html`<${Card} title="Broker session" id="session" state=${words} kind=${kind} at=${found.now_ms} budget=${STATE_S}>
    <${Facts} rows=${[
      ["Account", session.account || "–"],
      ["Token age", issued === null ? "–" : span(issued)],
      ["Ends", when(session.expires_at)],
      ["Logins since the start", session.generation || null],
      ["Reason", found.session.message, "warn"],
    ]} />
    ${session.state !== "valid" && html`<p><a href="/start">Log in to the broker</a></p>`}
  <//>`;
}

function Feed({ found }) {
  const feed = found.feed.feed || {};
  const name = feed.state || "not running";
  const kind = name === "live" ? "good" : name === "not running" ? "bad" : "warn";
  const age = found.feed.last_tick_age_s;
  return html`<${Card} title="Feed" id="feed" state=${name.replaceAll("_", " ")} kind=${kind} at=${found.now_ms} budget=${STATE_S}>
    <${Facts} rows=${[
      ["Symbols live", known(found.feed.live) ? `${count(found.feed.live)} of ${count(found.feed.subscribed)}` : "–"],
      ["Ticks per second", known(found.feed.ticks_per_s) ? Number(found.feed.ticks_per_s).toFixed(1) : "–"],
      ["Last tick", known(age) ? `${span(age)} ago` : "–", age > TICK_S ? "bad" : ""],
      ["Reason", name === "live" ? "" : feed.reason, "warn"],
    ]} />
  <//>`;
}

function Funds({ funds }) {
  const row = funds.row || {};
  return html`<${Card} title="Funds" id="funds" at=${funds.as_of_ms} budget=${BOOKS_S}>
    ${funds.error && html`<p class="bad">${funds.error}</p>`}${funds.row && html`<${Facts} rows=${[
      ["Free margin ₹", inr(row.free ?? row.availablecash), "big"],
      ["Cash", inr(row.availablecash)],
      ["Used", inr(row.utiliseddebits)],
      ["Collateral", inr(row.collateral)],
    ]} />`}
  <//>`;
}

function Rate({ found }) {
  return html`<${Card} title="Orders against the limit" id="rate" broad at=${found.now_ms} budget=${STATE_S}>
    <ul class="meters">${found.rates.map((one) => {
      const open = one.count - one.reserve;
      const part = one.used / one.count;
      return html`<li><span>per ${span(one.seconds).replace(".0", "")}</span>
        <meter min="0" max=${one.count} high=${open} value=${one.used} aria-label=${`orders per ${one.seconds} s`}></meter>
        <b class=${part > 0.9 ? "bad" : part > 0.7 ? "warn" : ""}>${count(one.used)}</b> <span class="soft">of ${count(one.count)}</span></li>`;
    })}</ul>
  <//>`;
}

/** The address orders leave from: what the broker knows, what was seen, and whether they agree. */
function egress({ state, seen, registered, reason }) {
  if (state === "off") return ["Egress address", "not watched", "soft", "EGRESS_IP_URL in the env file turns it on"];
  const kind = { match: "good", mismatch: "bad" }[state] || "warn";
  const known = registered.length ? `, registered ${registered.join(", ")}` : "";
  return ["Egress address", `${seen || "unknown"}${state === "match" ? "" : known}`, kind, reason || "where orders leave this machine"];
}

function Gateway({ found }) {
  const desk = found.desk;
  return html`<${Card} title="Gateway" id="gateway" state=${found.state.ready ? "ready" : "waiting"} kind=${found.state.ready ? "good" : "warn"} at=${found.now_ms} budget=${STATE_S}>
    <${Facts} rows=${[
      ["Orders read", desk.orders_reconciled_at && html`<${Age} at=${+new Date(desk.orders_reconciled_at)} budget=${30} />`],
      ["Positions read", desk.positions_reconciled_at && html`<${Age} at=${+new Date(desk.positions_reconciled_at)} budget=${120} />`],
      ["Outcome unknown", desk.unknown || null, "warn"],
      ["Placed elsewhere", desk.foreign || null],
      ["Waiting for", found.state.waiting_for.join("; "), "warn"],
      ["Instruments", found.state.instruments.rows ? count(found.state.instruments.rows) : `none, ${found.state.instruments.state}`],
      egress(found.egress),
      ["Up since", when(found.state.started_at)],
    ]} />
  <//>`;
}

function DayLine({ found }) {
  const [points, setPoints] = useState([]);
  useEffect(() => {
    const load = () => get("day-line").then((answer) => setPoints(answer.points)).catch(() => {});
    load();
    socket.on("connect", load);
  }, [found.mode]);
  const newest = found.pnl;
  useEffect(() => {
    if (newest) setPoints((old) => (old.length && old.at(-1).at_ms >= newest.at_ms ? old : [...old, newest]));
  }, [newest?.at_ms]);
  const data = useMemo(() => [points.map((p) => p.at_ms / 1000), points.map((p) => p.realised + p.unrealised)], [points]);
  const total = newest ? newest.realised + newest.unrealised : null;
  return html`<${Card} title="Result of the day" id="pnl" broad at=${newest?.at_ms} budget=${BOOKS_S}>
    <div class="headline"><b class=${`huge ${sign(total)}`}>${signed(total)}</b>
      <span class="soft">booked <b class=${sign(newest?.realised)}>${signed(newest?.realised)}</b></span>
      <span class="soft">open <b class=${sign(newest?.unrealised)}>${signed(newest?.unrealised)}</b></span>
      ${newest?.unpriced > 0 && html`<span class="warn">${newest.unpriced} without a price</span>`}</div>
    ${points.length > 1 ? html`<${Line} data=${data} label="Result of the day in rupees" height=${150} format=${compact} />`
      : html`<p class="soft">The line begins in a few seconds.</p>`}
  <//>`;
}

function Dashboard() {
  const found = state.value;
  const { orders, positions, funds } = books.value;
  if (!found) return html`<p class="soft">Loading…</p>`;
  const open = (orders.rows || []).filter((row) => ["open", "trigger pending", "unknown"].includes(row.order_status));
  return html`
    <div class="cards">
      <${Funds} funds=${funds} /><${DayLine} found=${found} />
      <${Session} found=${found} /><${Feed} found=${found} /><${Rate} found=${found} /><${Gateway} found=${found} />
    </div>
    <div class="pair">
      <${Card} title="Open orders" at=${orders.as_of_ms} budget=${BOOKS_S} id="open-orders">
        ${orders.error && html`<p class="bad">${orders.error}</p>`}${orders.rows && html`<${OrdersTable} rows=${open} short name="open orders" />`}
      <//>
      <${Card} title="Positions" at=${positions.as_of_ms} budget=${BOOKS_S} id="open-positions">
        ${positions.error && html`<p class="bad">${positions.error}</p>`}${positions.rows && html`<${PositionsTable} rows=${positions.rows} short />`}
      <//>
    </div>`;
}

mount(html`<${Dashboard} />`);
