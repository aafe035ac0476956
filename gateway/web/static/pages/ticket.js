// The order ticket of the chart: what one press sends, why it would not, keys, and the switch that arms them.
import { computed, effect, html, signal, useEffect, useState } from "../lib/ui.js";
import { books, link, now, state } from "../lib/live.js";
import { STALE_S, ageOf, feedLink, tick, touch } from "../lib/feed.js";
import { Card, Tabs, confirm } from "../lib/widgets.js";
import { asking, cancel, exit, flights, held, place, press, release, tape, words } from "../lib/hand.js";
import { snap } from "../lib/lines.js";
import { count, price, span } from "../lib/fmt.js";

const DEPTH = 3;
const AGAIN_MS = 4000;
const KEPT = "scalping", SURE = "scalping-sure";
const PRICED_AT = [["join", "Own side"], ["take", "Other side"], ["bid", "Bid"], ["ask", "Ask"], ["ltp", "Last price"]];

function kept() {
  try { return JSON.parse(localStorage.getItem(KEPT)) || {}; } catch { return {}; }
}
export const instrument = signal(null);
/** Lots, product and price of the next order; the same in the next session. */
export const terms = signal({ lots: 1, cash: "MIS", derivative: "MIS", type: "LIMIT", at: "join", ticks: 0, interval: "1m", ...kept() });
export const set = (more) => { terms.value = { ...terms.value, ...more }; };
effect(() => { try { localStorage.setItem(KEPT, JSON.stringify(terms.value)); } catch { /* then it is asked for again */ } });

/** Never kept: every load of the page begins with the keys off. */
export const armed = signal(false);
/** What the last press was answered, where it was not taken. */
export const said = signal({ text: "", kind: "warn" });
const sure = signal(sessionStorage.getItem(SURE) === "yes");
let second = null;

export const isCash = (row) => ["NSE", "BSE"].includes(row.exchange);
export const productOf = (row) => (isCash(row) ? terms.value.cash : terms.value.derivative);
export const quantityOf = (row) => Math.max(1, terms.value.lots) * (row.lotsize || 1);
const tradable = (row) => row && !row.exchange.endsWith("_INDEX");
export const quote = () => { const row = instrument.value; return row ? tick(row.exchange, row.symbol, DEPTH).value : undefined; };
export const stale = computed(() => { const data = quote(); return !data || feedLink.value !== "live" || ageOf(data) > STALE_S; });

/** The price a side would be sent at now: {price} or {problem}. */
export function priceOf(side, row = instrument.value, data = quote()) {
  if (!row || !data) return { problem: "no price yet" };
  const { at, ticks } = terms.value;
  const field = at === "join" ? (side === "BUY" ? "bid" : "ask") : at === "take" ? (side === "BUY" ? "ask" : "bid") : at;
  const basis = field === "ltp" ? data.ltp : touch(data)[field];
  if (!(basis > 0)) return { problem: field === "ltp" ? "it has not traded" : `there is no ${field}` };
  const step = row.tick_size || 0.01;
  const wanted = snap(basis + (side === "BUY" ? 1 : -1) * ticks * step, step);
  return wanted > 0 ? { price: wanted } : { problem: "the price would be below one tick" };
}

/** {block} when nothing is sent, {second} when it takes another press; empty when all is well. */
function hindrance(side) {
  const row = instrument.value;
  if (!row) return { block: "No instrument is chosen." };
  if (!tradable(row)) return { block: `${row.symbol} is an index: it cannot be traded. Choose an option, a future or a share.` };
  if (link.value === "down") return { block: "No connection to the gateway." };
  const session = state.value?.state.broker_session.state;
  if (state.value?.mode !== "analyze" && session !== "valid") return { block: `The broker session is ${session || "not known"}: log in first.` };
  if (terms.value.type === "LIMIT") {
    const { problem } = priceOf(side);
    if (problem) return { block: `No limit price: ${problem}.` };
  }
  if (!quote()) return { second: "There is no price yet." };
  if (feedLink.value !== "live") return { second: "The feed is not connected: the price is old." };
  if (ageOf(quote()) > STALE_S) return { second: `The price is ${span(ageOf(quote()))} old.` };
  return {};
}

/** One press of a side, by key, click or finger. */
export async function trade(side) {
  let at = performance.now();
  said.value = { text: "" };
  const closed = held(side, at);
  if (closed) { said.value = { text: closed, kind: "warn" }; return; }
  const { block, second: again } = hindrance(side);
  if (block) { said.value = { text: block, kind: "bad" }; return; }
  press(side, at);
  if (again && !(second && second.side === side && at - second.at < AGAIN_MS)) {
    second = { side, at };
    said.value = { text: `${again} Press once more within ${AGAIN_MS / 1000} s to send it all the same.`, kind: "warn" };
    return;
  }
  second = null;
  const row = instrument.value;
  const { type } = terms.value;
  const order = {
    exchange: row.exchange, symbol: row.symbol, action: side, quantity: String(quantityOf(row)), product: productOf(row),
    pricetype: type, price: type === "LIMIT" ? String(priceOf(side).price) : "0",
  };
  if (state.value?.mode !== "analyze" && !sure.value) {
    asking(side, order);
    const agreed = await confirm({ title: `${side === "BUY" ? "Buy" : "Sell"} ${order.quantity} ${row.symbol}?`, text: `${type === "MARKET" ? "At market" : `LIMIT at ${order.price}`}, ${order.product}. This order goes to the broker.`, yes: side === "BUY" ? "Buy" : "Sell", danger: side === "SELL" });
    if (!agreed) { release(side); return; }
    at = performance.now();
    press(side, at);
  }
  told(await place(order, at));
}

/** A refusal is said where the press was. */
function told(problem) {
  if (problem) said.value = { text: problem, kind: "bad" };
}

/** Acknowledged is not accepted: a broker's risk desk may reject it a moment later. */
const rejected = new Set();
effect(() => {
  for (const row of books.value.orders.rows || []) {
    if (row.order_status !== "rejected" || rejected.has(row.orderid)) continue;
    const mine = tape.value.find((one) => one.orderid === row.orderid);
    if (!mine) continue;
    rejected.add(row.orderid);
    told(`${mine.text} was rejected: ${row.rejection_reason}`);
  }
});

export async function leave(row) {
  if (state.value?.mode !== "analyze" && !sure.value) {
    const agreed = await confirm({ title: `Close ${row.symbol}?`, text: `${row.quantity > 0 ? "Sell" : "Buy"} ${Math.abs(row.quantity)} at market, ${row.product}.`, yes: "Close it", danger: true });
    if (!agreed) return;
  }
  told(await exit(row));
}

const mine = (row) => row.exchange === instrument.value?.exchange && row.symbol === instrument.value?.symbol;
export const working = () => (books.value.orders.rows || []).filter((row) => mine(row) && ["open", "trigger pending", "unknown"].includes(row.order_status));
export const positions = () => (books.value.positions.rows || []).filter((row) => mine(row) && row.quantity);

async function ask(on) {
  if (!on) { sure.value = false; sessionStorage.removeItem(SURE); return; }
  const agreed = await confirm({ title: "Send without asking?", text: "Until this tab is closed, an armed key or a click sends an order at once.", yes: "Do not ask again", danger: true });
  if (!agreed) return;
  sure.value = true;
  sessionStorage.setItem(SURE, "yes");
}

const KEYS = {
  b: ["Buy", () => trade("BUY")],
  s: ["Sell", () => trade("SELL")],
  x: ["Exit the position", () => { const [row] = positions(); if (row) leave(row); else said.value = { text: "There is no position to close.", kind: "warn" }; }],
  c: ["Cancel the newest order", () => { const row = working().filter((one) => one.orderid).at(-1); if (row) cancel(row, performance.now()); else said.value = { text: "No order is open here.", kind: "warn" }; }],
};

/** Keys of the whole page. They do nothing while somebody types, while something is asked, and when held down. */
function listenToKeys() {
  const repeated = (event) => {
    // a held Enter would press its button again and again
    if (event.repeat && ["Enter", " "].includes(event.key) && event.target.closest?.("button")) event.preventDefault();
  };
  const down = (event) => {
    if (event.defaultPrevented || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest?.("input,select,textarea,dialog") || document.querySelector("dialog[open]")) return;
    const key = event.key.toLowerCase();
    if (key === "escape") armed.value = false;
    else if (key === "a") armed.value = !armed.value;
    else if (key === "+" || key === "=") set({ lots: terms.value.lots + 1 });
    else if (key === "-") set({ lots: Math.max(1, terms.value.lots - 1) });
    else if (KEYS[key]) {
      if (armed.value) KEYS[key][1]();
      else said.value = { text: `Key ${key.toUpperCase()} does nothing: the keys are off. Arm them with A.`, kind: "warn" };
    } else return;
    event.preventDefault();
  };
  window.addEventListener("keydown", repeated, true);
  window.addEventListener("keydown", down);
  return () => { window.removeEventListener("keydown", repeated, true); window.removeEventListener("keydown", down); };
}

/** A whole number that may be half typed: what stands in the field is the person's until they leave it. */
function Whole({ value, least, take }) {
  const [text, setText] = useState(String(value));
  useEffect(() => setText(String(value)), [value]);
  const typed = (event) => {
    setText(event.target.value);
    const found = Number(event.target.value);
    if (event.target.value.trim() && Number.isInteger(found) && found >= least) take(found);
  };
  return html`<input type="number" inputmode="numeric" step="1" min=${least} value=${text} onInput=${typed} onBlur=${() => setText(String(value))} />`;
}

function Side({ side, row }) {
  const flight = flights.value[side];
  const { price: wanted, problem } = priceOf(side, row);
  const limit = terms.value.type === "LIMIT";
  const unknown = flight?.state === "unknown";
  return html`<div class="side">
    <button type="button" class=${`${side.toLowerCase()} ${limit && stale.value ? "stale" : ""}`} id=${side.toLowerCase()} aria-keyshortcuts=${armed.value ? side[0] : undefined} disabled=${!tradable(row) || Boolean(flight)} onClick=${() => trade(side)}>
      <span>${side === "BUY" ? "Buy" : "Sell"} <kbd>${side[0]}</kbd></span>
      <b class=${limit && problem ? "none" : ""}>${limit ? (problem || price(wanted)) : "market"}</b>
      <small>${flight ? { asking: "asking", sending: "sending…", unknown: "outcome not known" }[flight.state] : tradable(row) ? `${count(quantityOf(row))} · ${productOf(row)}` : "not tradable"}</small></button>
    ${unknown && html`<div class="notice warn" role="alert"><b>Not known</b> ${words(flight)}. ${flight.reason} <button type="button" class="plain" onClick=${() => release(side)}>I have looked: open ${side} again</button></div>`}
  </div>`;
}

export function Ticket({ products }) {
  useEffect(listenToKeys, []);
  const row = instrument.value;
  void now.value; // ages move
  const { lots, type, at, ticks } = terms.value;
  const kind = row && isCash(row) ? "cash" : "derivative";
  const live = state.value?.mode !== "analyze";
  return html`<${Card} title="Order" id="ticket" state=${armed.value ? "keys armed" : "keys off"} kind=${armed.value ? "bad" : ""}>
    <label class="switch"><input type="checkbox" role="switch" checked=${armed.value} onChange=${(event) => { armed.value = event.target.checked; }} /> <span>One-key trading <kbd>A</kbd></span></label>
    <div class="row tight">
      <label>Lots${row?.lotsize > 1 ? ` of ${row.lotsize}` : ""}<${Whole} value=${lots} least=${1} take=${(found) => set({ lots: found })} /></label>
      <label>Product<select value=${terms.value[kind]} onChange=${(event) => set({ [kind]: event.target.value })}>${products[kind].map((one) => html`<option value=${one} selected=${one === terms.value[kind]}>${one}</option>`)}</select></label>
    </div>
    <${Tabs} label="Kind of order" tabs=${[["LIMIT", "Limit"], ["MARKET", "Market"]]} active=${type} choose=${(next) => set({ type: next })} />
    ${type === "LIMIT" && html`<div class="row tight"><label class="wide" title="Own side: buy at the bid, sell at the ask. Other side: buy at the ask, sell at the bid.">Priced at<select value=${at} onChange=${(event) => set({ at: event.target.value })}>${PRICED_AT.map(([id, text]) => html`<option value=${id} selected=${id === at}>${text}</option>`)}</select></label>
      <label title="More: a buy goes up and a sell down. Less: the other way round">± ticks<${Whole} value=${ticks} least=${-10000} take=${(found) => set({ ticks: found })} /></label></div>`}
    <div class="presses"><div class="sides"><${Side} side="BUY" row=${row} /><${Side} side="SELL" row=${row} /></div>
      <p class=${`notice ${said.value.kind || "warn"}`} id="said" role="status" hidden=${!said.value.text}>${said.value.text}</p></div>
    ${live && html`<label class="switch"><input type="checkbox" checked=${!sure.value} onChange=${(event) => { event.preventDefault(); ask(!event.target.checked).then(() => { event.target.checked = !sure.value; }); }} /> <span>Ask before each order</span></label>`}
    <p class="keys soft"><kbd>B</kbd> buy <kbd>S</kbd> sell <kbd>X</kbd> exit <kbd>C</kbd> cancel newest <kbd>+</kbd> <kbd>−</kbd> lots <kbd>A</kbd> arm <kbd>Esc</kbd> off</p>
  <//>`;
}
