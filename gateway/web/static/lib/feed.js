// Ticks from the feed's own WebSocket, let in with a one-use ticket. ``tick("NSE:SBIN")`` is a signal.
//
// A symbol is subscribed as long as somebody holds it (``hold`` / the returned release). Signals move at most
// ten times a second each: newer ticks wait in a map and go out together.
import { batch, signal } from "./ui.js";
import { post } from "./api.js";
import { now, offset } from "./live.js";

const REPAINT_MS = 100;
export const STALE_S = 10;
export const feedLink = signal("connecting");

const cells = new Map(); // channel name -> {signal, holders, mode, exchange, symbol, state}
const waiting = new Map();
let socket = null;
let ready = false;
let retry = 500;
let timer = 0;

const nameOf = (exchange, symbol, mode) => `${exchange}:${symbol}:${mode}`;

/** The newest tick of an instrument, undefined before the first. ``mode``: 1 LTP, 2 quote, 3 depth. */
export function tick(exchange, symbol, mode = 2) {
  return cell(exchange, symbol, mode).signal;
}

/** Subscribe while held; call the answer to let go. ``symbol`` may end in ``:20`` for a deeper book (mode 3). */
export function hold(exchange, symbol, mode = 2) {
  const one = cell(exchange, symbol, mode);
  one.holders += 1;
  if (one.holders === 1) send("subscribe", one);
  let held = true;
  return () => {
    if (!held) return;
    held = false;
    one.holders -= 1;
    if (one.holders === 0) send("unsubscribe", one);
  };
}

/** Every tick of something held, at once and with none left out: for what is counted, not shown. */
export function listen(exchange, symbol, mode, handler) {
  const { ears } = cell(exchange, symbol, mode);
  ears.add(handler);
  return () => ears.delete(handler);
}

/** Best bid and ask of a tick; some brokers send them with the depth alone (mode 3). 0 where nobody stands. */
export const touch = (data) => ({ bid: data?.bid || data?.depth?.buy?.[0]?.price || 0, ask: data?.ask || data?.depth?.sell?.[0]?.price || 0 });

/** Seconds since the tick was received by the gateway; read inside an effect or component it keeps moving. */
export const ageOf = (data) => (data ? Math.max(0, (now.value - data.timestamp) / 1000) : NaN);

function cell(exchange, symbol, mode) {
  const name = nameOf(exchange, symbol, mode);
  let one = cells.get(name);
  if (!one) {
    one = { signal: signal(undefined), error: signal(""), holders: 0, ears: new Set(), mode, exchange, symbol };
    cells.set(name, one);
  }
  return one;
}

export const errorOf = (exchange, symbol, mode = 2) => cell(exchange, symbol, mode).error;

function send(action, ...some) {
  if (!ready || some.length === 0) return;
  for (const mode of [1, 2, 3]) {
    const symbols = some.filter((one) => one.mode === mode).map(({ exchange, symbol }) => ({ exchange, symbol }));
    if (symbols.length) socket.send(JSON.stringify({ action, mode, symbols }));
  }
}

function flush() {
  timer = 0;
  batch(() => {
    for (const [name, data] of waiting) cells.get(name).signal.value = data;
  });
  waiting.clear();
}

function heard(message) {
  if (message.type === "market_data") {
    const name = nameOf(message.exchange, message.symbol, message.mode);
    if (!cells.has(name)) return;
    waiting.set(name, message.data);
    for (const handler of cells.get(name).ears) handler(message.data);
    if (!timer) timer = setTimeout(flush, REPAINT_MS);
  } else if (message.type === "auth") {
    ready = message.status === "success";
    feedLink.value = ready ? "live" : "refused";
    if (ready) {
      retry = 500;
      send("subscribe", ...[...cells.values()].filter((one) => one.holders > 0));
    }
  } else if (message.type === "subscribe") {
    for (const one of message.subscriptions || []) {
      for (const mode of [1, 2, 3]) {
        const found = cells.get(nameOf(one.exchange, one.symbol, mode));
        if (found) found.error.value = one.status === "error" ? one.message : "";
      }
    }
  }
}

async function connect() {
  try {
    const { ticket, port } = await post("feed-ticket");
    const scheme = window.location.protocol === "https:" ? "wss" : "ws";
    socket = new WebSocket(`${scheme}://${window.location.hostname}:${port}`);
    socket.onopen = () => socket.send(JSON.stringify({ action: "authenticate", ticket }));
    socket.onmessage = (event) => heard(JSON.parse(event.data));
    socket.onclose = again;
  } catch {
    again();
  }
}

function again() {
  ready = false;
  feedLink.value = "down";
  setTimeout(connect, retry + Math.random() * 250);
  retry = Math.min(retry * 2, 10000);
}

connect();
export { offset };
