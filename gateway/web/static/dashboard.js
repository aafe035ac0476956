"use strict";
// Shows what the instance sends over Socket.IO. Text only ever goes in through textContent.

const STALE_S = 10;
const byId = (id) => document.getElementById(id);
const money = new Intl.NumberFormat("en-IN", { minimumFractionDigits: 2, maximumFractionDigits: 4 });
const whole = new Intl.NumberFormat("en-IN");
const moment = new Intl.DateTimeFormat("en-IN", {
  timeZone: "Asia/Kolkata", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
});

const known = (value) => value !== undefined && value !== null && value !== "";
const price = (value) => (known(value) ? money.format(Number(value)) : "–");
const count = (value) => (known(value) ? whole.format(value) : "–");
const sign = (value) => (value > 0 ? "up" : value < 0 ? "down" : "");
const when = (iso) => (iso ? `${moment.format(new Date(iso))} IST` : "–");

/** A duration as people say it: "0.4 s", "34 s", "12 min", "3 h", "2 d". */
function span(seconds) {
  if (seconds < STALE_S) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} d`;
}

function put(id, text, kind) {
  const node = byId(id);
  if (node.textContent !== text) node.textContent = text;
  node.classList.remove("good", "bad", "warn", "up", "down");
  if (kind) node.classList.add(kind);
}

function optional(id, text) {
  byId(id).hidden = !text;
  byId(id).textContent = text;
}

// tables ------------------------------------------------------------------------------------------------

/** ``label`` names the value where a row is shown as a card (a phone). */
function cell(row, text, label, classes, under) {
  const td = row.insertCell();
  td.textContent = text;
  if (label) td.dataset.label = label;
  if (classes) td.className = classes;
  if (under) {
    const small = document.createElement("span");
    small.className = "under";
    small.textContent = under;
    td.append(small);
  }
  return td;
}

const drawn = {};

function fill(id, rows, draw) {
  const body = byId(id);
  const now = JSON.stringify(rows);
  if (drawn[id] === now) return;
  drawn[id] = now;
  body.replaceChildren();
  const counted = byId(`${id}-count`);
  counted.textContent = Array.isArray(rows) && rows.length ? String(rows.length) : "";
  if (!Array.isArray(rows) || rows.length === 0) {
    const td = cell(body.insertRow(), "", "", Array.isArray(rows) ? "empty" : "bad problem-cell");
    td.colSpan = body.parentElement.tHead.rows[0].cells.length;
    td.textContent = Array.isArray(rows) ? body.dataset.empty : (rows && rows.error) || "Not known now.";
    return;
  }
  for (const row of rows) draw(body.insertRow(), row);
}

const STATUS = {
  complete: ["complete", "good"], rejected: ["rejected", "bad"], unknown: ["unknown, do not resend", "warn"],
  "trigger pending": ["trigger pending", ""], open: ["open", ""], cancelled: ["cancelled", "soft"],
};

function drawOrder(row, order) {
  const [words, kind] = STATUS[order.order_status] || [order.order_status, ""];
  const market = order.pricetype === "MARKET";
  cell(row, order.timestamp.slice(11) || "–", "Time");
  cell(row, order.symbol, "", "lead", `${order.exchange} · ${order.orderid || "no id yet"}`);
  cell(row, order.action, "Side", sign(order.action === "BUY" ? 1 : -1));
  cell(row, `${count(order.filled_quantity)} of ${count(order.quantity)}`, "Filled", "number");
  const trigger = order.trigger_price ? `trigger ${price(order.trigger_price)}` : "";
  cell(row, market && !order.price ? "market" : price(order.price), "Price", "number", trigger);
  cell(row, order.average_price ? price(order.average_price) : "–", "Average", "number");
  cell(row, `${order.pricetype} ${order.product}`, "Type");
  cell(row, order.strategy || "–", "Strategy", "wide");
  cell(row, words, "", `main ${kind}`, order.rejection_reason);
}

function drawPosition(row, position) {
  cell(row, position.symbol, "", "lead", position.exchange);
  cell(row, position.product, "Product");
  cell(row, count(position.quantity), "Quantity", "number");
  cell(row, price(position.average_price), "Average", "number");
  cell(row, price(position.ltp), "Last", "number");
  cell(row, price(position.pnl), "", `number main ${sign(position.pnl)}`);
}

const newest = { ticks: [], at: 0, serverMs: 0 };
const before = new Map();

function drawTick(row, tick) {
  const name = `${tick.exchange}:${tick.symbol}`;
  const move = known(tick.change_percent) ? `${tick.change_percent.toFixed(2)} %` : "–";
  cell(row, tick.symbol, "", "lead", tick.exchange);
  const last = cell(row, price(tick.ltp), "", "number main");
  const old = before.get(name);
  if (old !== undefined && old !== tick.ltp) last.classList.add(tick.ltp > old ? "rose" : "fell");
  before.set(name, tick.ltp);
  cell(row, move, "Change", `number ${sign(tick.change_percent)}`);
  cell(row, tick.bid ? price(tick.bid) : "–", "Bid", "number");
  cell(row, tick.ask ? price(tick.ask) : "–", "Ask", "number");
  cell(row, tick.volume ? count(tick.volume) : "–", "Volume", "number");
  cell(row, "", "Age", "number age");
}

/** Ages go on by themselves: also when nothing arrives any more, and whatever this machine's clock says. */
function showAges() {
  const rows = byId("ticks").rows;
  const since = performance.now() - newest.at;
  newest.ticks.forEach((tick, index) => {
    const age = rows[index] && rows[index].querySelector(".age");
    if (!age) return;
    const seconds = Math.max(0, (newest.serverMs - tick.timestamp + since) / 1000);
    age.textContent = span(seconds);
    rows[index].classList.toggle("stale", seconds > STALE_S);
  });
}

// cards -------------------------------------------------------------------------------------------------

const SESSION = {
  valid: ["logged in", "good", ""],
  none: ["not logged in", "bad", "run: algo login"],
  expired: ["expired", "bad", "run: algo login"],
  refused: ["refused by the broker", "bad", "check the credentials, then run: algo login"],
};

function showState(state) {
  const session = state.broker_session;
  const [words, kind, next] = SESSION[session.state] || [session.state, "warn", "see the log"];
  put("session-state", words, kind);
  put("session-account", session.account || "–");
  put("session-expires", when(session.expires_at));
  optional("session-next", next && `${next} ${state.instance}`);
  byId("session-next-name").hidden = !next;
  put("ready", state.ready ? "ready" : "waiting", state.ready ? "good" : "warn");
  const waiting = state.waiting_for.join("; ");
  optional("waiting", waiting);
  byId("waiting-name").hidden = !waiting;
  const table = state.instruments;
  put("instruments", table.rows ? whole.format(table.rows) : `none, ${table.state}`, table.rows ? "" : "warn");
  put("started", when(state.started_at));
}

function showFeed(answer) {
  const feed = answer.feed || {};
  const state = feed.state || "not running";
  const kind = state === "live" ? "good" : state === "not running" ? "bad" : "warn";
  put("feed-state", state.replaceAll("_", " "), kind);
  put("feed-symbols", known(answer.live) ? `${count(answer.live)} of ${count(answer.subscribed)}` : "–");
  put("feed-rate", known(answer.ticks_per_s) ? Number(answer.ticks_per_s).toFixed(1) : "–");
  const age = answer.last_tick_age_s;
  put("feed-age", known(age) ? `${span(age)} ago` : "–", age > STALE_S ? "warn" : "");
  const reason = state === "live" ? "" : feed.reason;
  optional("feed-reason", reason || "");
  byId("feed-reason-name").hidden = !reason;
}

function showFunds(funds) {
  const problem = !funds ? "Not known now." : funds.error;
  optional("funds-problem", problem || "");
  for (const name of ["free", "availablecash", "utiliseddebits", "collateral", "m2mrealized", "m2munrealized"]) {
    const value = problem ? undefined : funds[name];
    put(`funds-${name}`, price(value), name.startsWith("m2m") ? sign(Number(value)) : "");
  }
}

function showBlock(desk) {
  const parts = [];
  if (desk.blocked) parts.push(`New entries are blocked: ${desk.blocked}. Allow them with: algo panic --resume`);
  if (desk.unknown) parts.push(`Orders whose outcome is not known: ${desk.unknown}. Do not send them again.`);
  optional("blocked", parts.join(" "));
}

function showLink(up, words) {
  put("link", words, up ? "good" : "bad");
  byId("offline").hidden = up;
  document.body.classList.toggle("old", !up);
}

const socket = io({ transports: ["websocket", "polling"] });
socket.on("snapshot", (snapshot) => {
  showLink(true, "live");
  showState(snapshot.state);
  showFeed(snapshot.feed);
  showFunds(snapshot.funds);
  showBlock(snapshot.desk);
  fill("orders", snapshot.orders, drawOrder);
  fill("positions", snapshot.positions, drawPosition);
  Object.assign(newest, { ticks: snapshot.ticks, at: performance.now(), serverMs: snapshot.now_ms });
  fill("ticks", snapshot.ticks, drawTick);
  showAges();
});
socket.on("disconnect", (why) => {
  showLink(false, "no connection");
  // the server ends a connection only with its web session: ask for the page again, which leads to the sign-in
  if (why === "io server disconnect") window.location.reload();
});
socket.on("connect_error", async () => {
  showLink(false, "no connection");
  try {
    // the instance is there and the web session is not: the page leads to the sign-in
    const page = await fetch("/", { redirect: "manual", cache: "no-store" });
    if (page.type === "opaqueredirect") window.location.reload();
  } catch {
    // not there either: Socket.IO goes on trying
  }
});
// signing out also closes this socket, and the reload above would cancel the form on its way
document.querySelector("header form").addEventListener("submit", () => socket.disconnect());
setInterval(showAges, 500);
