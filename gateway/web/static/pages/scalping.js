// Chart trading: candles with the running bar, orders and the position as lines on them, one press for an order.
import { html, mount, first, signal, useEffect, useRef, useState } from "../lib/ui.js";
import { books, now } from "../lib/live.js";
import { ageOf, errorOf, feedLink, hold, listen, touch } from "../lib/feed.js";
import { call } from "../lib/api.js";
import { Bars, STEPS, dateOf, dayOf } from "../lib/bars.js";
import { Candles } from "../lib/candles.js";
import { Lines } from "../lib/lines.js";
import { Finder } from "../lib/finder.js";
import { StrikePicker } from "../lib/strikes.js";
import { KINDS, figures, summary } from "../lib/timings.js";
import { accepted, cancel, cancels, changes, flights, modify, tape } from "../lib/hand.js";
import { Card, Tabs, note } from "../lib/widgets.js";
import { OrdersTable } from "./orders.js";
import { PositionsTable } from "./positions.js";
import { Ticket, armed, instrument, leave, positions, quote, set, stale, terms, working } from "./ticket.js";
import { compact, count, known, percent, price, sign, signed, span, time } from "../lib/fmt.js";
import "../lib/shell.js";

const begun = first();
const DEPTH = 3;
const CHUNK_DAYS = { "1m": 1, "3m": 2, "5m": 3, "15m": 7, "30m": 12, "1h": 20, D: 400 };
const SHOWN = () => (window.innerWidth < 720 ? 45 : 120);
const CLOSED_MS = 2500; // after a bar has ended its own broker knows it
const EMPTY_CHUNKS = 4; // a long weekend; more than that is the beginning of the series
const DAY_S = 86400;
const DONE = 12; // rows of what was done here

instrument.value = begun.chosen.instrument;
/** What the strike picker stands at. */
const chosen = signal({ ...begun.chosen, symbol: begun.chosen.instrument?.symbol, jump: undefined });
const problem = signal(begun.chosen.problem);

async function open(exchange, symbol) {
  try {
    const { data } = await call("symbol", { exchange, symbol });
    choose(data);
  } catch (error) { note(error.message, "bad"); }
}

function choose(row) {
  armed.value = false; // keys that were armed for one instrument do not trade another
  instrument.value = row;
  problem.value = "";
  const option = ["CE", "PE"].includes(row.instrumenttype);
  chosen.value = option
    ? { underlying: row.name, exchange: row.exchange, expiry: row.expiry.replaceAll("-", ""), kind: row.instrumenttype, symbol: row.symbol }
    : { ...chosen.value, symbol: row.symbol, ...optionsOf(row) };
  window.history.replaceState(null, "", `/scalping?${new URLSearchParams({ exchange: row.exchange, symbol: row.symbol })}`);
}

/** The underlying whose options stand beside a share, an index or a future. */
function optionsOf(row) {
  const root = row.instrumenttype === "FUT" ? row.name : row.symbol;
  const found = begun.underlyings.find((one) => one.underlying === root);
  return found && found.underlying !== chosen.value.underlying ? { ...found, expiry: "" } : {};
}

/** Bars of one instrument and interval, kept up to date by ticks; the chart is told what changed. */
function useBars(row, interval, chart, say) {
  const key = row && `${row.exchange}:${row.symbol}:${interval}`;
  const more = useRef(() => {});
  useEffect(() => {
    if (!row || !chart) return undefined;
    const { exchange, symbol } = row;
    const bars = new Bars(interval);
    const daily = interval === "D";
    const look = { daily, places: row.tick_size && row.tick_size < 0.01 ? 4 : 2, tick: row.tick_size };
    const today = dayOf(now.peek() / 1000);
    let gone = false, oldest = today + DAY_S, busy = false, empty = 0, waiting = null, timer = 0, frame = 0, source = "auto";
    const release = hold(exchange, symbol, DEPTH);

    const ask = async (start, end) => {
      const body = { exchange, symbol, interval, start_date: dateOf(start), end_date: dateOf(end) };
      try {
        const found = await call("history", { ...body, source });
        return found.data;
      } catch (error) {
        if (source === "db") throw error;
        source = "db"; // the store alone, as long as the broker does not answer
        const found = await call("history", { ...body, source }).catch((other) => { throw other.code === "NO_STORED_DATA" ? error : other; });
        say({ text: `Stored bars only: ${error.message}`, kind: "warn" });
        return found.data;
      }
    };
    const draw = (show) => { chart.set(bars.rows, { ...look, show }); };
    more.current = async () => {
      if (busy || gone || empty >= EMPTY_CHUNKS) return;
      busy = true;
      const end = oldest - DAY_S, start = end - CHUNK_DAYS[interval] * DAY_S;
      try {
        const rows = await ask(start, end);
        if (gone) return;
        const begin = bars.rows.length === 0;
        empty = rows.length ? 0 : empty + 1;
        oldest = start;
        if (rows.length || begin) draw2(rows, begin);
        say(bars.rows.length ? (source === "auto" ? null : undefined) : { text: "No bars yet: the first tick begins one.", kind: "" });
      } catch (error) {
        if (gone) return;
        empty = EMPTY_CHUNKS;
        say({ text: `No candles: ${error.message}`, kind: "warn" });
      } finally { busy = false; }
      if (!gone && bars.rows.length < SHOWN() && empty < EMPTY_CHUNKS) more.current();
    };
    const draw2 = (rows, begin) => { bars.merge(rows); draw(begin ? SHOWN() : 0); };
    const again = () => {
      clearTimeout(timer);
      timer = setTimeout(async () => {
        const day = dayOf(now.peek() / 1000);
        const rows = await ask(daily ? day - 7 * DAY_S : day, day).catch(() => []);
        if (!gone && rows.length) draw2(rows, false);
      }, CLOSED_MS);
    };
    const heard = (data) => {
      if (busy && !bars.rows.length) return; // steps are counted from the first bars
      const found = bars.tick(data);
      if (!found) return;
      waiting = found.bar;
      if (found.began) { again(); chart.update(found.bar); }
      frame ||= requestAnimationFrame(() => { frame = 0; if (!gone) chart.update(waiting); });
    };
    const unlisten = listen(exchange, symbol, DEPTH, heard);
    const back = () => { if (document.visibilityState === "visible") again(); };
    document.addEventListener("visibilitychange", back);
    let linked = feedLink.peek();
    const unlink = feedLink.subscribe((found) => { if (found === "live" && linked === "down") again(); linked = found; });
    chart.set([], look);
    say({ text: "Loading candles…", kind: "" });
    more.current();
    return () => {
      gone = true;
      clearTimeout(timer);
      cancelAnimationFrame(frame);
      document.removeEventListener("visibilitychange", back);
      unlink();
      unlisten();
      release();
    };
  }, [key, chart]);
  return more;
}

const dot = (side) => (side === "BUY" ? "buy" : "sell");

/** Everything that is drawn over the chart of the chosen instrument. */
function linesOf(row) {
  const found = [];
  for (const one of positions()) {
    const ltp = quote()?.ltp ?? one.ltp;
    const result = known(ltp) ? (ltp - one.average_price) * one.quantity : null;
    found.push({
      key: `position ${one.product}`, price: one.average_price, kind: "position", text: `${one.quantity > 0 ? "Long" : "Short"} ${count(Math.abs(one.quantity))} ${one.product}`,
      result: html`<b class=${sign(result)}>${signed(result)}</b>`,
      action: html`<button type="button" class="exit" onClick=${() => leave(one)}>Exit</button>`,
    });
  }
  const rows = working();
  for (const one of rows) found.push(orderLine(one));
  for (const one of Object.values(accepted.value)) {
    const book = (books.value.orders.rows || []).find((other) => other.orderid === one.orderid);
    if (book || one.symbol !== row.symbol || one.exchange !== row.exchange) continue;
    found.push({ key: one.orderid, orderid: one.orderid, price: Number(one.price), kind: dot(one.action), tone: "pending", text: `${one.action} ${one.quantity}`, state: "accepted" });
  }
  for (const one of Object.values(flights.value)) {
    if (one.state === "asking" || one.symbol !== row.symbol || one.exchange !== row.exchange || one.pricetype === "MARKET") continue;
    const unknown = one.state === "unknown";
    found.push({ key: `flight ${one.action}`, price: Number(one.price), kind: dot(one.action), tone: unknown ? "unknown" : "pending", text: `${one.action} ${one.quantity}`, state: unknown ? "outcome not known" : "sending" });
  }
  return found.filter((line) => line.price > 0);
}

/** ``drawn`` tells the line whose appearance is measured: one the book has. */
function orderLine(one) {
  const trigger = one.pricetype.startsWith("SL");
  const at = trigger ? one.trigger_price : one.price;
  const change = changes.value[one.orderid];
  const leaving = cancels.value[one.orderid];
  const unknown = one.order_status === "unknown";
  // taken, and the book says the old price still: the broker's word is the newer one
  const moved = change?.state === "pending" || (change?.state === "taken" && change.price !== at);
  const move = (to) => modify(one, trigger ? { trigger_price: to, ...(one.pricetype === "SL" ? { price: Number((one.price + to - at).toFixed(6)) } : {}) } : { price: to });
  return {
    key: one.orderid || `${one.symbol} ${one.timestamp}`, orderid: one.orderid, drawn: !unknown && Boolean(one.orderid), price: moved ? change.price : at, kind: dot(one.action),
    text: `${one.action} ${count(one.quantity)}${one.filled_quantity ? ` (${count(one.filled_quantity)} filled)` : ""}${one.pricetype === "LIMIT" ? "" : ` ${one.pricetype}`}`,
    tone: unknown || change?.state === "unknown" ? "unknown" : change?.state === "pending" || leaving?.state === "cancelling" ? "pending" : "",
    state: unknown ? "outcome not known" : leaving?.state === "cancelling" ? "cancelling" : change?.state === "pending" ? "pending" : change?.state === "unknown" ? "change not known" : "",
    reason: change?.reason || leaving?.reason || "",
    leaving: leaving?.state === "cancelling",
    move: unknown || change?.state === "pending" || leaving?.state === "cancelling" || at <= 0 ? undefined : move,
    close: one.orderid ? (when) => cancel(one, when) : undefined,
  };
}

function Chart({ row }) {
  const box = useRef(null);
  const [chart, setChart] = useState(null);
  const [hovered, setHovered] = useState(undefined);
  const [status, setStatus] = useState(null);
  const edge = useRef(() => {});
  const { interval } = terms.value;
  useEffect(() => {
    const made = new Candles(box.current, { onHover: setHovered, onEdge: () => edge.current() });
    setChart(made);
    return () => made.destroy();
  }, []);
  const more = useBars(row, interval, chart, (found) => found !== undefined && setStatus(found));
  edge.current = () => more.current();
  const data = quote();
  const { bid, ask } = touch(data);
  const refused = row && errorOf(row.exchange, row.symbol, DEPTH).value;
  return html`<section class="card chart-card">
    <div class="head"><b class="name">${row ? row.symbol : "No instrument"}</b>${row && html`<small class="soft">${row.exchange}</small>`}
      <b class=${`huge ${stale.value ? "stale" : ""}`} id="last" title=${stale.value ? "Not fresh" : ""}>${price(data?.ltp)}</b>
      <span class=${stale.value ? "stale" : sign(data?.change)}>${signed(data?.change)} ${percent(data?.change_percent)}</span>
      <small class=${stale.value ? "age bad" : "age"} id="age">${refused || (data ? `${span(ageOf(data))} ago` : "no tick yet")}</small>
      <span class="spring"></span>
      <${Tabs} label="Interval" active=${interval} choose=${(next) => set({ interval: next })} tabs=${Object.keys(STEPS).map((one) => [one, one])} /></div>
    <div class="stage"><div class="candles" ref=${box} role="img" aria-label=${row ? `Candles of ${row.symbol}, ${interval}` : "Empty chart"}></div>
      <${Legend} bar=${hovered} />
      ${chart && row && html`<${Lines} chart=${chart} lines=${linesOf(row)} tick=${row.tick_size || 0.01} />`}
      ${status?.text && html`<p class=${`over ${status.kind}`} role="status">${status.text}</p>`}</div>
    <p class="foot soft"><span>Bid <b class="up">${bid ? price(bid) : "–"}</b></span> <span>Ask <b class="down">${ask ? price(ask) : "–"}</b></span> <span>Volume <b>${compact(data?.volume)}</b></span>
      ${data?.oi > 0 && html`<span>OI <b>${compact(data.oi)}</b></span>`}<span class="spring"></span>
      <a href="https://www.tradingview.com/" target="_blank" rel="noreferrer">Charts by TradingView</a></p>
  </section>`;
}

const Legend = ({ bar }) => html`<p class="legend" aria-hidden="true">${bar && html`O <b>${price(bar.open)}</b> H <b>${price(bar.high)}</b> L <b>${price(bar.low)}</b> C <b class=${sign(bar.close - bar.open)}>${price(bar.close)}</b> V <b>${compact(bar.volume)}</b>`}</p>`;

const ms = (value) => `${value < 100 ? value.toFixed(1) : Math.round(value)}`;

function Timings() {
  return html`<${Card} title="From the click, in this browser" id="timings">
    <table><thead><tr><th>Milliseconds</th><th class="number">last</th><th class="number">median</th><th class="number">p99</th></tr></thead>
    <tbody>${KINDS.map(([id, title]) => {
      const found = summary(figures.value[id]);
      return html`<tr data-kind=${id}><td>${title} ${found && html`<small class="soft">${found.count}</small>`}</td>${["last", "median", "p99"].map((name) => html`<td class="number">${found ? ms(found[name]) : "–"}</td>`)}</tr>`;
    })}</tbody></table>
  <//>`;
}

const TONE = { sending: "soft", accepted: "good", refused: "bad", unknown: "warn" };
const WORD = { sending: "sending", accepted: "acknowledged", refused: "refused", unknown: "outcome not known" };

function Tape() {
  const rows = books.value.orders.rows || [];
  return html`<${Card} title="What was done here" id="tape">
    ${tape.value.length === 0 ? html`<p class="empty">Nothing yet.</p>` : html`<ol class="tape">${tape.value.slice(0, DONE).map((one) => {
      const order = one.orderid && rows.find((row) => row.orderid === one.orderid);
      const later = order && order.order_status !== "open" ? order.order_status : "";
      return html`<li key=${one.id}><time class="soft">${time(one.at)}</time> ${one.text} <b class=${TONE[one.state]}>${WORD[one.state]}</b>${known(one.ms) && html` <small class="soft">${ms(one.ms)} ms</small>`}
        ${later && html` <b class=${later === "rejected" ? "bad" : "soft"}>${later}</b>`}
        ${(one.reason || order?.rejection_reason) && html`<span class="under">${one.reason || order.rejection_reason}</span>`}</li>`;
    })}</ol>`}
  <//>`;
}

function Books() {
  const { orders, positions: held } = books.value;
  const open = (orders.rows || []).filter((row) => ["open", "trigger pending", "unknown"].includes(row.order_status));
  const rows = (held.rows || []).filter((row) => row.quantity || (row.symbol === instrument.value?.symbol));
  return html`<div class="pair">
    <${Card} title="Open orders" at=${orders.as_of_ms} budget=${15} id="open-orders">
      ${orders.error ? html`<p class="bad">${orders.error}</p>` : html`<${OrdersTable} rows=${open} short name="open orders" />`}<//>
    <${Card} title="Positions" at=${held.as_of_ms} budget=${15} id="open-positions">
      ${held.error ? html`<p class="bad">${held.error}</p>` : html`<${PositionsTable} rows=${rows} short />`}<//>
  </div>`;
}

function Page() {
  const row = instrument.value;
  return html`<section class="card choice"><div class="tools"><${Finder} add=${choose} placeholder="Open: SBIN, NIFTY 25000 CE, a token …" /></div>
      <${StrikePicker} given=${begun.underlyings} chosen=${chosen.value} change=${(next) => { chosen.value = next; }} open=${open} failed=${(text) => note(text, "bad")} />
      ${row && html`<a class="button plain-link" href=${`/option-chain?${new URLSearchParams({ underlying: chosen.value.underlying || "", expiry: chosen.value.expiry || "" })}`}>Chain</a>`}</section>
    ${problem.value && html`<p class="notice warn" role="alert">${problem.value}</p>`}
    <div class="scalp"><${Chart} row=${row} /><aside aria-label="Order"><${Ticket} products=${begun.products} /><${Timings} /></aside></div>
    <${Books} /><${Tape} />`;
}

mount(html`<${Page} />`);
