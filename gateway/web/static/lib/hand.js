// Orders by hand: one press is one order, and what became of it is said as it is known, never better.
//
// A press has its own client_order_id. While an order of one side is on its way, that side takes no other; a second
// press right after the first is a slip of the finger and is not taken. An order whose outcome is not known keeps
// its side closed until somebody who has looked opens it (``release``).
import { signal } from "./ui.js";
import { ApiError, call, post } from "./api.js";
import { painted, took } from "./timings.js";

export const STRATEGY = "scalping";
const SLIP_MS = 400;
const NOT_SENT = new Set(["NOT_SUPPORTED", "BROKER_DISCONNECTED", "NOT_READY", "STORE", "STORE_BUSY", "STORE_FULL", "MARGIN_UNKNOWN", "TOO_MANY_CONNECTIONS", "STRATEGY_LEASE_UNAVAILABLE"]);

/** side -> {state: "asking" | "sending" | "unknown", ...order}: what keeps it closed. */
export const flights = signal({});
/** What was done here, newest first: {id, at, text, state, reason, ms}. */
export const tape = signal([]);
/** order id -> {state: "pending" | "refused" | "unknown", price, reason}: changes of its line. */
export const changes = signal({});
/** order id -> the order as it was sent: acknowledged, and not in the book yet. */
export const accepted = signal({});
/** order id -> "cancelling" or why not. */
export const cancels = signal({});

const pressed = {};
const began = new Map(); // order id -> when its press was, until its line has been seen
const drawn = new Map(); // order id -> when its line was on the screen
const leaving = new Map(); // order id -> when its cancel was pressed
let serial = 0;

const put = (place, key, value) => { place.value = { ...place.value, [key]: value }; };
const drop = (place, key) => { const { [key]: _, ...rest } = place.value; place.value = rest; };
const later = (ms, work) => setTimeout(work, ms);

function say(text, state, reason = "", ms) {
  const id = ++serial;
  tape.value = [{ id, at: Date.now(), text, state, reason, ms }, ...tape.value].slice(0, 30);
  return id;
}
const tell = (id, more) => { tape.value = tape.value.map((one) => (one.id === id ? { ...one, ...more } : one)); };

/** Whether an order may have left although it was not confirmed. A refusal that says so did not. */
export function isUnknown(error) {
  if (!(error instanceof ApiError)) return true; // no answer at all
  return error.status >= 500 && !NOT_SENT.has(error.code);
}
const why = (error) => (error instanceof ApiError ? [error.message, error.next].filter(Boolean).join(" ") : "No answer came. It may have reached the broker: look at the order book before anything else.");

const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
export const words = (order) => `${order.action} ${order.quantity} ${order.symbol} ${order.pricetype === "MARKET" ? "at market" : `at ${order.price}`}`;

/** Why a press of this side is not taken now; empty when it is. */
export function held(side, at) {
  const flight = flights.value[side];
  if (flight?.state === "unknown") return `The outcome of the last ${side} is not known. Look at the order book, then open the side again.`;
  if (flight) return `The last ${side} is still on its way: this press was not taken.`;
  if (at - (pressed[side] ?? -Infinity) < SLIP_MS) return `Pressed twice within ${SLIP_MS} ms: the second ${side} was not taken.`;
  return "";
}

/** A press that was taken: the next one of its side right after it is a slip. */
export const press = (side, at) => { pressed[side] = at; };

/** Close a side while somebody is asked about it. */
export const asking = (side, order) => put(flights, side, { ...order, state: "asking" });
export const release = (side) => drop(flights, side);

/** Send one order -> why it was refused, empty when it was not. ``at``: performance.now() of the press that decided it. */
export async function place(order, at) {
  const side = order.action;
  const line = say(words(order), "sending");
  put(flights, side, { ...order, state: "sending" });
  try {
    const answer = await call("placeorder", { ...order, strategy: STRATEGY, client_order_id: newId() });
    const ms = performance.now() - at;
    took("click_acknowledged", answer.orderid, ms);
    tell(line, { state: "accepted", reason: answer.message || "", ms, orderid: answer.orderid });
    release(side);
    if (order.pricetype !== "MARKET") {
      began.set(answer.orderid, at);
      if (drawn.has(answer.orderid)) seen(answer.orderid, drawn.get(answer.orderid));
      put(accepted, answer.orderid, { ...order, orderid: answer.orderid });
      later(10000, () => drop(accepted, answer.orderid));
    }
    return "";
  } catch (error) {
    const unknown = isUnknown(error);
    tell(line, { state: unknown ? "unknown" : "refused", reason: why(error) });
    if (unknown) put(flights, side, { ...order, state: "unknown", reason: why(error) });
    else release(side);
    return unknown ? "" : why(error);
  }
}

/** A working order's line is on the screen at that moment. */
function seen(orderid, at) {
  drawn.set(orderid, at);
  const start = began.get(orderid);
  if (start === undefined) return;
  began.delete(orderid);
  took("click_drawn", orderid, at - start);
}
export const lineDrawn = (orderid) => painted((at) => { if (!drawn.has(orderid)) seen(orderid, at); });

export function lineGone(orderid) {
  drop(cancels, orderid);
  drop(changes, orderid);
  const start = leaving.get(orderid);
  if (start === undefined) return;
  leaving.delete(orderid);
  painted((at) => took("cancel_gone", orderid, at - start));
}

/** Change one working order; its line says "pending" until the broker has taken it, and why when it does not. */
export async function modify(row, change) {
  if (changes.value[row.orderid]?.state === "pending") return;
  const { exchange, symbol, action, product, pricetype, orderid, quantity } = row;
  const shown = change.trigger_price ?? change.price;
  const line = say(`Move ${action} ${quantity} ${symbol} to ${shown}`, "sending");
  const at = performance.now();
  put(changes, orderid, { state: "pending", price: Number(shown) });
  try {
    await call("modifyorder", {
      strategy: row.strategy || STRATEGY, exchange, symbol, orderid, action, product, pricetype, quantity: String(quantity),
      price: String(change.price ?? row.price ?? 0), trigger_price: String(change.trigger_price ?? row.trigger_price ?? 0), disclosed_quantity: "0",
    });
    tell(line, { state: "accepted", ms: performance.now() - at });
    // the book's own word takes over as soon as it comes; without one the line goes back to what the book says
    put(changes, orderid, { state: "taken", price: Number(shown) });
    later(6000, () => { if (changes.value[orderid]?.state === "taken") drop(changes, orderid); });
  } catch (error) {
    const state = isUnknown(error) ? "unknown" : "refused";
    tell(line, { state, reason: why(error) });
    put(changes, orderid, { state, reason: why(error) });
    later(8000, () => { if (changes.value[orderid]?.state === state) drop(changes, orderid); });
  }
}

/** Cancel one order. ``at``: performance.now() of the click. */
export async function cancel(row, at) {
  const { orderid } = row;
  if (cancels.value[orderid]?.state === "cancelling") return;
  const line = say(`Cancel ${row.action} ${row.quantity} ${row.symbol}`, "sending");
  put(cancels, orderid, { state: "cancelling" });
  leaving.set(orderid, at);
  try {
    await call("cancelorder", { strategy: row.strategy || STRATEGY, orderid });
    tell(line, { state: "accepted", ms: performance.now() - at });
    later(6000, () => drop(cancels, orderid));
  } catch (error) {
    leaving.delete(orderid);
    const state = isUnknown(error) ? "unknown" : "refused";
    tell(line, { state, reason: why(error) });
    put(cancels, orderid, { state, reason: why(error) });
    later(8000, () => drop(cancels, orderid));
  }
}

const exiting = new Set();
/** Close one position with the opposite MARKET order -> what went wrong, empty when nothing did. */
export async function exit(row) {
  const { exchange, symbol, product } = row;
  const key = `${exchange}:${symbol}:${product}`;
  if (exiting.has(key)) return "";
  exiting.add(key);
  const line = say(`Exit ${row.quantity} ${symbol} ${product}`, "sending");
  const at = performance.now();
  try {
    const answer = await post("positions/exit", { positions: [{ exchange, symbol, product }] });
    const failed = answer.failed[0];
    const none = "There was nothing to close.";
    if (failed) tell(line, { state: failed.code === "OUTCOME_UNKNOWN" ? "unknown" : "refused", reason: failed.message });
    else tell(line, { state: "accepted", ms: performance.now() - at, reason: answer.done.length ? "" : none });
    return failed ? failed.message : answer.done.length ? "" : none;
  } catch (error) {
    tell(line, { state: isUnknown(error) ? "unknown" : "refused", reason: why(error) });
    return why(error);
  } finally {
    later(SLIP_MS, () => exiting.delete(key));
  }
}
