// Orders and positions of every instance in one table; each row names its instance.
import { byId, html, mount, useState } from "../lib/ui.js";
import { books, fleet } from "../lib/live.js";
import { Table } from "../lib/table.js";
import { Tabs } from "../lib/widgets.js";
import { average, count, known, price, sign, signed } from "../lib/fmt.js";
import "../lib/shell.js";

const KIND = { complete: "good", rejected: "bad", unknown: "warn", cancelled: "soft" };
const WORKING = ["open", "trigger pending", "transit", "unknown"];
const hues = () => Object.fromEntries((fleet.value?.cards || []).map((card) => [card.name, card.hue]));
const total = (rows, name) => rows.map((row) => row[name]).filter(known).reduce((sum, value) => sum + value, 0);

const INSTANCE = { id: "instance", title: "Instance", value: (row) => row.instance,
  cell: (row) => html`<span class=${`whose hue-${hues()[row.instance] ?? 5}`}>${row.instance}</span>${row.mode && html`<span class="under">${row.mode}</span>`}` };
const SYMBOL = { id: "symbol", title: "Symbol", lead: true, value: (row) => row.symbol };

const ORDERS = [
  INSTANCE,
  { id: "time", title: "Time", value: (row) => row.timestamp, cell: (row) => row.timestamp.slice(11) || "–" },
  { ...SYMBOL, csv: (row) => `${row.exchange}:${row.symbol}`, cell: (row) => html`${row.symbol}<span class="under">${row.exchange} · ${row.orderid || "no id yet"}</span>` },
  { id: "action", title: "Side", value: (row) => row.action, cell: (row) => html`<b class=${row.action === "BUY" ? "up" : "down"}>${row.action}</b>` },
  { id: "filled", title: "Filled", number: true, value: (row) => row.filled_quantity, csv: (row) => `${row.filled_quantity}/${row.quantity}`,
    cell: (row) => `${count(row.filled_quantity)} of ${count(row.quantity)}`, sum: (rows) => count(total(rows, "filled_quantity")) },
  { id: "price", title: "Price", number: true, value: (row) => row.price, cell: (row) => (row.pricetype === "MARKET" && !row.price ? "market" : price(row.price)) },
  { id: "average", title: "Average", number: true, value: (row) => row.average_price, cell: average },
  { id: "type", title: "Type", value: (row) => `${row.pricetype} ${row.product}` },
  { id: "status", title: "Status", main: true, value: (row) => row.order_status,
    cell: (row) => html`<b class=${KIND[row.order_status] || ""}>${row.order_status === "unknown" ? "unknown, do not resend" : row.order_status}</b>${row.rejection_reason && html`<span class="under">${row.rejection_reason}</span>`}` },
];

const POSITIONS = [
  INSTANCE,
  { ...SYMBOL, csv: (row) => `${row.exchange}:${row.symbol}`, cell: (row) => html`${row.symbol}<span class="under">${row.exchange}</span>` },
  { id: "product", title: "Product", value: (row) => row.product },
  { id: "quantity", title: "Quantity", number: true, value: (row) => row.quantity,
    cell: (row) => html`<span class=${sign(row.quantity)}>${count(row.quantity)}</span>`, sum: (rows) => count(total(rows, "quantity")) },
  { id: "average", title: "Average", number: true, value: (row) => row.average_price, cell: average },
  { id: "ltp", title: "Last", number: true, value: (row) => row.ltp, cell: (row) => price(row.ltp) },
  { id: "pnl", title: "P&L", number: true, main: true, value: (row) => row.pnl, cell: (row) => html`<b class=${sign(row.pnl)}>${signed(row.pnl)}</b>`,
    sum: (rows) => html`<b class=${sign(total(rows, "pnl"))}>${signed(total(rows, "pnl"))}</b>` },
];

const instances = (rows) => [...new Set(rows.map((row) => row.instance))].length;

function Combined() {
  const [tab, setTab] = useState(byId("app").dataset.tab);
  const [open, setOpen] = useState(false);
  const { orders, positions, errors } = books.value;
  const shown = tab === "orders" ? orders.filter((row) => !open || WORKING.includes(row.order_status)) : positions.filter((row) => !open || row.quantity);
  const choose = (next) => { setTab(next); history.replaceState(null, "", `/${next}`); };
  const tools = html`<label class="inline"><input type="checkbox" checked=${open} onChange=${() => setOpen(!open)} /> Open only</label>`;
  const shared = { rows: shown, tools, fresh: "top" };
  return html`<section class="card">
    ${errors.map((text) => html`<p class="notice bad" role="alert">${text}</p>`)}
    <div class="head"><${Tabs} tabs=${[["orders", "Orders", orders.length], ["positions", "Positions", positions.length]]} active=${tab} choose=${choose} label="Books" />
      <span class="spring"></span><small class="soft">${instances(shown)} instances</small></div>
    ${tab === "orders"
      ? html`<${Table} key="orders" id="orders" name="orders" ...${shared} columns=${ORDERS} keyOf=${(row) => `${row.instance}:${row.orderid || row.symbol + row.timestamp}`} empty="No orders today." />`
      : html`<${Table} key="positions" id="positions" name="positions" ...${shared} columns=${POSITIONS} keyOf=${(row) => `${row.instance}:${row.exchange}:${row.symbol}:${row.product}`}
          rowClass=${(row) => (row.quantity ? "" : "flat")} empty="No positions today." />`}
  </section>`;
}

mount(html`<${Combined} />`);
