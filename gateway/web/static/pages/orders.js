// The order book: modify, cancel, many at once, and orders whose outcome is not known.
import { html, useState } from "../lib/ui.js";
import { Table } from "../lib/table.js";
import { confirm, note, tried } from "../lib/widgets.js";
import { call, get, post } from "../lib/api.js";
import { average, count, inr, price, sign } from "../lib/fmt.js";

const KIND = { complete: "good", rejected: "bad", unknown: "warn", cancelled: "soft" };
export const works = (row) => ["open", "trigger pending"].includes(row.order_status);
export const keyOf = (row) => row.orderid || `${row.symbol}-${row.timestamp}`;

async function cancel(rows) {
  const open = rows.filter((row) => works(row) || row.order_status === "unknown");
  if (!open.length) return;
  const agreed = await confirm({
    title: open.length === 1 ? `Cancel this order?` : `Cancel ${open.length} orders?`,
    list: open.map((row) => `${row.action} ${row.quantity} ${row.symbol} ${row.pricetype} ${row.price || ""}`),
    yes: open.length === 1 ? "Cancel the order" : "Cancel them", no: "Leave", danger: true,
  });
  if (!agreed) return;
  const answer = await tried(() => post("orders/cancel", { orderids: open.map((row) => row.orderid) }),
    (found) => `${found.done.length} of ${open.length} cancelled`);
  for (const failed of answer?.failed || []) note(`${failed.what}: ${failed.message}`, "bad");
}

async function modify(row) {
  if (!works(row)) return;
  const fields = [{ name: "quantity", label: "Quantity", value: row.quantity, type: "number", step: "1" }];
  if (["LIMIT", "SL"].includes(row.pricetype)) fields.push({ name: "price", label: "Price", value: row.price, type: "number", step: "any" });
  if (["SL", "SL-M"].includes(row.pricetype)) fields.push({ name: "trigger_price", label: "Trigger price", value: row.trigger_price, type: "number", step: "any" });
  const given = await confirm({ title: `Modify ${row.action} ${row.symbol}`, text: `${row.pricetype} ${row.product}, ${row.filled_quantity} filled`, fields, yes: "Send the change" });
  if (!given) return;
  const { exchange, symbol, action, product, pricetype, orderid } = row;
  await tried(() => call("modifyorder", {
    strategy: row.strategy || "web", exchange, symbol, orderid, action, product, pricetype,
    quantity: given.quantity, price: given.price ?? row.price ?? "0", trigger_price: given.trigger_price ?? row.trigger_price ?? "0", disclosed_quantity: "0",
  }), "The change is with the broker");
}

const COLUMNS = [
  { id: "time", title: "Time", value: (row) => row.timestamp, cell: (row) => row.timestamp.slice(11) || "–" },
  { id: "symbol", title: "Symbol", lead: true, value: (row) => row.symbol, csv: (row) => `${row.exchange}:${row.symbol}`,
    cell: (row) => html`${row.symbol}<span class="under">${row.exchange} · ${row.orderid || "no id yet"}</span>` },
  { id: "action", title: "Side", value: (row) => row.action, cell: (row) => html`<b class=${row.action === "BUY" ? "up" : "down"}>${row.action}</b>` },
  { id: "filled", title: "Filled", number: true, value: (row) => row.filled_quantity, csv: (row) => `${row.filled_quantity}/${row.quantity}`,
    cell: (row) => `${count(row.filled_quantity)} of ${count(row.quantity)}`,
    sum: (rows) => count(rows.reduce((sum, row) => sum + row.filled_quantity, 0)) },
  { id: "price", title: "Price", number: true, value: (row) => row.price,
    cell: (row) => html`${row.pricetype === "MARKET" && !row.price ? "market" : price(row.price)}${row.trigger_price ? html`<span class="under">trigger ${price(row.trigger_price)}</span>` : ""}` },
  { id: "average", title: "Average", number: true, value: (row) => row.average_price, cell: average },
  { id: "type", title: "Type", value: (row) => `${row.pricetype} ${row.product}` },
  { id: "strategy", title: "Strategy", wide: true, value: (row) => row.strategy, cell: (row) => row.strategy || "–" },
  { id: "status", title: "Status", main: true, value: (row) => row.order_status,
    cell: (row) => html`<b class=${KIND[row.order_status] || ""}>${row.order_status === "unknown" ? "unknown, do not resend" : row.order_status}</b>
      ${row.rejection_reason && html`<span class="under">${row.rejection_reason}</span>`}` },
];
const SHORT = COLUMNS.filter((column) => ["symbol", "action", "filled", "price", "status"].includes(column.id)).map((column) => ({ ...column, sum: undefined }));

export function OrdersTable({ rows, short, name = "orders", id = "orders" }) {
  const [selected, select] = useState(new Set());
  const chosen = rows.filter((row) => selected.has(keyOf(row)) && works(row));
  const open = rows.filter(works);
  const tools = !short && html`<button type="button" class="danger" disabled=${!open.length}
    onClick=${() => cancel(chosen.length ? chosen : open)}>${chosen.length ? `Cancel ${chosen.length}` : "Cancel all open"}</button>`;
  return html`<${Table} id=${id} name=${name} columns=${short ? SHORT : COLUMNS} rows=${rows} keyOf=${keyOf}
    sortBy=${short ? undefined : { id: "time", down: true }}
    empty=${short ? "Nothing is open." : "No orders here. A strategy places them at /api/v1/placeorder."}
    select=${short ? undefined : select} selected=${selected} tools=${tools}
    keys=${{ c: (row) => cancel([row]), m: modify }}
    actions=${(row) => (works(row) ? html`<button type="button" class="plain" title="Modify (m)" onClick=${() => modify(row)}>Modify</button>
      <button type="button" class="plain" title="Cancel (c)" onClick=${() => cancel([row])}>Cancel</button>` : "")} />`;
}

const TRADES = [
  { id: "time", title: "Time", value: (row) => row.timestamp, cell: (row) => row.timestamp.slice(11) || "–" },
  COLUMNS[1], COLUMNS[2],
  { id: "quantity", title: "Quantity", number: true, value: (row) => row.quantity, cell: (row) => count(row.quantity), sum: (rows) => count(rows.reduce((sum, row) => sum + row.quantity, 0)) },
  { id: "average", title: "Price", number: true, value: (row) => row.average_price, cell: average },
  { id: "value", title: "Value", number: true, main: true, value: (row) => row.trade_value, cell: (row) => inr(row.trade_value), sum: (rows) => inr(rows.reduce((sum, row) => sum + row.trade_value, 0)) },
  { id: "product", title: "Product", value: (row) => row.product },
  { id: "strategy", title: "Strategy", wide: true, value: (row) => row.strategy, cell: (row) => row.strategy || "–" },
];

export const TradesTable = ({ rows }) => html`<${Table} id="trades" name="trades" columns=${TRADES} rows=${rows}
  keyOf=${(row) => `${row.tradeid}-${row.orderid}`} sortBy=${{ id: "time", down: true }} empty="No trades today." />`;

/** Orders whose outcome nobody knows: what is known, and ending one of an earlier day by hand. */
export function Unknown({ rows, reload }) {
  if (!rows.length) return html`<p class="empty">Every order's outcome is known.</p>`;
  return html`<ul class="inbox">${rows.map((row) => html`<${UnknownOrder} key=${row.journal_id} row=${row} reload=${reload} />`)}</ul>`;
}

function UnknownOrder({ row, reload }) {
  const [events, setEvents] = useState(null);
  const show = () => tried(async () => setEvents((await get(`orders/${row.journal_id}/events`)).events));
  const resolve = async () => {
    const given = await confirm({
      title: `What became of J${row.journal_id}?`, text: "Say what the broker's own papers show. It cannot be taken back.",
      fields: [
        { name: "outcome", label: "Outcome", options: ["never_reached", "complete", "cancelled", "rejected"], value: "never_reached" },
        { name: "order_id", label: "The broker's order number, if there is one", required: false, maxlength: 64 },
        { name: "filled", label: "Executed quantity, if not all or none", required: false, inputmode: "numeric" },
        { name: "average", label: "Average price, if executed", required: false, inputmode: "decimal" },
        { name: "evidence", label: "Where that was seen (contract note, statement, a call)", maxlength: 500 },
      ], yes: "End it so", danger: true,
    });
    if (!given) return;
    await tried(() => post(`orders/${row.journal_id}/resolve`, {
      outcome: given.outcome, evidence: given.evidence, order_id: given.order_id || "",
      filled: given.filled ? Number(given.filled) : null, average: given.average || null,
    }), `J${row.journal_id} is ended`);
    reload();
  };
  return html`<li class="card">
    <h2><b class=${sign(row.action === "BUY" ? 1 : -1)}>${row.action}</b> ${row.quantity} ${row.symbol} <small>${row.exchange} · ${row.product} · J${row.journal_id}</small>
      <span class="spring"></span><b class="state warn">${row.needs_a_person ? "needs you" : "being looked for"}</b></h2>
    <p>${row.needs_a_person ? "It is of an earlier day: today's books cannot tell. End it with what the broker's papers show."
      : "The broker's books are being read for it. Do not send it again."} ${row.reason}</p>
    <p class="row"><button type="button" class="plain" onClick=${show}>Evidence</button>
      <button type="button" disabled=${!row.needs_a_person} title=${row.needs_a_person ? "" : "Only an order of an earlier day is ended by hand"} onClick=${resolve}>Resolve…</button></p>
    ${events && html`<ol class="events">${events.map((one) => html`<li><time>${new Date(one.at_ns / 1e6).toISOString().replace("T", " ").slice(0, 23)}</time> <b>${one.kind}</b> ${one.state} <code>${typeof one.detail === "string" ? one.detail : JSON.stringify(one.detail)}</code></li>`)}</ol>`}
  </li>`;
}
