// What a person waits for, measured where they wait: in the browser, from the press to what it changed on the
// screen. Kept for the session of this tab, and sent to the latency database where the instance has one.
import { first, signal } from "./ui.js";
import { post } from "./api.js";

export const KINDS = [
  ["click_acknowledged", "Acknowledged"],
  ["click_drawn", "Line drawn"],
  ["cancel_gone", "Cancelled line gone"],
];
const PLACE = "timings", MOST = 500, TOGETHER_MS = 400, LONGEST_MS = 60000;

function kept() {
  try { return JSON.parse(sessionStorage.getItem(PLACE)) || {}; } catch { return {}; }
}
/** kind -> milliseconds, in the order they were taken. */
export const figures = signal(kept());

const sends = Boolean(first().timings);
let waiting = [];
let timer = 0;

async function send() {
  const timings = waiting.splice(0, 50);
  timer = waiting.length ? setTimeout(send, TOGETHER_MS) : 0;
  // they are figures for comparing: a lost one is no reason to disturb somebody who trades
  await post("timings", { timings }).catch(() => {});
}

export function took(kind, orderid, ms) {
  if (!(ms >= 0 && ms <= LONGEST_MS)) return;
  figures.value = { ...figures.value, [kind]: [...(figures.value[kind] || []), ms].slice(-MOST) };
  try { sessionStorage.setItem(PLACE, JSON.stringify(figures.value)); } catch { /* a full or forbidden store keeps nothing */ }
  if (!sends || !orderid) return;
  waiting.push({ orderid: String(orderid), kind, ms: Math.round(ms * 1000) / 1000 });
  timer ||= setTimeout(send, TOGETHER_MS);
}

/** Nearest rank: a figure that was measured, not one in between. */
export function summary(values = []) {
  if (!values.length) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const rank = (part) => sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)];
  return { count: values.length, last: values.at(-1), median: rank(0.5), p99: rank(0.99) };
}

/** The moment the next frame is on the screen: what was changed before can be seen by then. */
export const painted = (then) => requestAnimationFrame(() => setTimeout(() => then(performance.now()), 0));
