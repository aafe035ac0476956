"use strict";
// Shows what the instance sends over Socket.IO. Text only ever goes in through textContent.

const byId = (id) => document.getElementById(id);
const rupees = new Intl.NumberFormat("en-IN", { minimumFractionDigits: 2, maximumFractionDigits: 4 });
const whole = new Intl.NumberFormat("en-IN");

function put(id, text, kind) {
  const node = byId(id);
  node.textContent = text;
  node.classList.remove("good", "bad", "warn");
  if (kind) node.classList.add(kind);
}

function cell(row, text, classes) {
  const td = row.insertCell();
  td.textContent = text;
  if (classes) td.className = classes;
}

function fill(id, rows, columns, draw) {
  const body = byId(id);
  body.replaceChildren();
  if (!Array.isArray(rows)) {
    const td = body.insertRow().insertCell();
    td.colSpan = columns;
    td.className = "bad";
    td.textContent = rows && rows.error ? rows.error : "not known";
    return;
  }
  if (rows.length === 0) {
    const td = body.insertRow().insertCell();
    td.colSpan = columns;
    td.className = "empty";
    td.textContent = "none";
    return;
  }
  for (const row of rows) draw(body.insertRow(), row);
}

const price = (value) => (value === undefined ? "–" : rupees.format(value));
const signed = (value) => (value > 0 ? "number up" : value < 0 ? "number down" : "number");

function showState(state) {
  const session = state.broker_session;
  put("session-state", session.state, session.state === "valid" ? "good" : "bad");
  put("session-account", session.account || "–");
  put("session-expires", session.expires_at ? new Date(session.expires_at).toLocaleString() : "–");
  put("waiting", state.waiting_for.length ? state.waiting_for.join("; ") : "nothing", state.ready ? "good" : "warn");
  const table = state.instruments;
  put("instruments", `${whole.format(table.rows)} rows, ${table.state}`);
}

function showFeed(answer) {
  const feed = answer.feed || {};
  const state = feed.state || "not running";
  put("feed-state", feed.reason && state !== "live" ? `${state}: ${feed.reason}` : state, state === "live" ? "good" : "warn");
  put("feed-symbols", answer.subscribed === undefined ? "–" : `${answer.subscribed}, ${answer.live}`);
  put("feed-rate", answer.ticks_per_s === undefined ? "–" : Number(answer.ticks_per_s).toFixed(1));
}

function showFunds(funds) {
  if (!funds || funds.error) {
    for (const id of ["availablecash", "utiliseddebits", "collateral", "m2m"]) put(`funds-${id}`, "–");
    put("funds-availablecash", funds ? funds.error : "–", "bad");
    return;
  }
  for (const name of ["availablecash", "utiliseddebits", "collateral"]) {
    put(`funds-${name}`, rupees.format(Number(funds[name])));
  }
  put("funds-m2m", `${rupees.format(Number(funds.m2mrealized))}, ${rupees.format(Number(funds.m2munrealized))}`);
}

const STATUS_KIND = { complete: "good", rejected: "bad", unknown: "warn" };

function showOrders(orders) {
  byId("orders-count").textContent = Array.isArray(orders) && orders.length ? `(${orders.length})` : "";
  fill("orders", orders, 9, (row, order) => {
    cell(row, order.timestamp.slice(11) || "–");
    cell(row, `${order.exchange}:${order.symbol}`);
    cell(row, order.action, order.action === "BUY" ? "up" : "down");
    cell(row, whole.format(order.quantity), "number");
    cell(row, whole.format(order.filled_quantity), "number");
    cell(row, `${order.pricetype} ${order.product}`);
    cell(row, price(order.price), "number");
    cell(row, order.average_price ? price(order.average_price) : "–", "number");
    cell(row, order.order_status, STATUS_KIND[order.order_status]);
  });
}

function showPositions(positions) {
  fill("positions", positions, 6, (row, position) => {
    cell(row, `${position.exchange}:${position.symbol}`);
    cell(row, position.product);
    cell(row, whole.format(position.quantity), "number");
    cell(row, price(position.average_price), "number");
    cell(row, price(position.ltp), "number");
    cell(row, price(position.pnl), signed(position.pnl));
  });
}

function showTicks(ticks) {
  fill("ticks", ticks, 7, (row, tick) => {
    const age = Math.max(0, (Date.now() - tick.timestamp) / 1000);
    cell(row, `${tick.exchange}:${tick.symbol}`);
    cell(row, price(tick.ltp), "number");
    cell(row, tick.change_percent === undefined ? "–" : `${tick.change_percent.toFixed(2)} %`, signed(tick.change_percent));
    cell(row, tick.bid ? price(tick.bid) : "–", "number");
    cell(row, tick.ask ? price(tick.ask) : "–", "number");
    cell(row, tick.volume === undefined ? "–" : whole.format(tick.volume), "number");
    cell(row, `${age.toFixed(1)} s`, age > 10 ? "number warn" : "number");
  });
}

const socket = io({ transports: ["websocket", "polling"] });
socket.on("snapshot", (snapshot) => {
  byId("connection").hidden = true;
  showState(snapshot.state);
  showFeed(snapshot.feed);
  showFunds(snapshot.funds);
  showOrders(snapshot.orders);
  showPositions(snapshot.positions);
  showTicks(snapshot.ticks);
});
socket.on("connect", () => { byId("connection").hidden = true; });
socket.on("disconnect", (why) => {
  byId("connection").hidden = false;
  if (why === "io server disconnect") window.location.reload();
});
socket.on("connect_error", () => { byId("connection").hidden = false; });
