// Positions, with P&L that moves with the ticks, and holdings.
import { html, useEffect, useState } from "../lib/ui.js";
import { Table } from "../lib/table.js";
import { hold, tick } from "../lib/feed.js";
import { confirm, tried } from "../lib/widgets.js";
import { post } from "../lib/api.js";
import { average, count, inr, known, percent, price, sign, signed } from "../lib/fmt.js";

export const keyOf = (row) => `${row.exchange}:${row.symbol}:${row.product}`;

/** Holds the ticks of some instruments for as long as the component lives. */
export function useTicks(rows, mode = 1) {
  const names = [...new Set(rows.map((row) => `${row.exchange}:${row.symbol}`))].sort().join(" ");
  useEffect(() => {
    const releases = names ? names.split(" ").map((name) => {
      const at = name.indexOf(":");
      return hold(name.slice(0, at), name.slice(at + 1), mode);
    }) : [];
    return () => releases.forEach((release) => release());
  }, [names]);
}

const last = (row) => tick(row.exchange, row.symbol, 1).value?.ltp ?? row.ltp;

/** Booked and open; moves with the last price. */
function result(row) {
  const ltp = last(row);
  if (!row.quantity || !known(row.ltp) || !known(ltp)) return row.pnl;
  return known(row.pnl) ? row.pnl + (ltp - row.ltp) * row.quantity : (ltp - row.average_price) * row.quantity;
}

const Last = ({ row }) => price(last(row));
const Result = ({ row }) => { const value = result(row); return html`<b class=${sign(value)}>${signed(value)}</b>`; };
function Total({ rows }) {
  const values = rows.map(result).filter(known);
  const total = values.reduce((sum, value) => sum + value, 0);
  return html`<b class=${sign(total)}>${signed(total)}</b>`;
}

const COLUMNS = [
  { id: "symbol", title: "Symbol", lead: true, value: (row) => row.symbol, cell: (row) => html`${row.symbol}<span class="under">${row.exchange}</span>` },
  { id: "product", title: "Product", value: (row) => row.product },
  { id: "quantity", title: "Quantity", number: true, value: (row) => row.quantity, cell: (row) => html`<span class=${sign(row.quantity)}>${count(row.quantity)}</span>` },
  { id: "average", title: "Average", number: true, value: (row) => row.average_price, cell: average },
  { id: "ltp", title: "Last", number: true, value: last, cell: (row) => html`<${Last} row=${row} />` },
  { id: "pnl", title: "P&L", number: true, main: true, value: result, cell: (row) => html`<${Result} row=${row} />`, sum: (rows) => html`<${Total} rows=${rows} />` },
];

async function exit(rows) {
  const open = rows.filter((row) => row.quantity);
  if (!open.length) return;
  const agreed = await confirm({
    title: open.length === 1 ? `Close ${open[0].symbol}?` : `Close ${open.length} positions?`,
    text: "One opposite MARKET order each.",
    list: open.map((row) => `${row.quantity > 0 ? "Sell" : "Buy"} ${Math.abs(row.quantity)} ${row.symbol} ${row.product}`),
    yes: open.length === 1 ? "Close it" : "Close them", danger: true,
  });
  if (!agreed) return;
  const positions = open.map(({ exchange, symbol, product }) => ({ exchange, symbol, product }));
  const answer = await tried(() => post("positions/exit", { positions }), (found) => `${found.done.length} exit orders taken`);
  for (const failed of answer?.failed || []) await tried(() => Promise.reject(new Error(`${failed.what}: ${failed.message}`)));
}

export function PositionsTable({ rows, short }) {
  const [selected, select] = useState(new Set());
  useTicks(rows);
  const chosen = rows.filter((row) => selected.has(keyOf(row)));
  const tools = !short && html`<button type="button" class="danger" disabled=${!rows.some((row) => row.quantity)}
    onClick=${() => exit(chosen.length ? chosen : rows)}>${chosen.length ? `Close ${chosen.length}` : "Close all"}</button>`;
  return html`<${Table} id="positions" name="positions" columns=${COLUMNS} rows=${rows} keyOf=${keyOf} fresh="end" empty="No positions today."
    select=${short ? undefined : select} selected=${selected} tools=${tools} rowClass=${(row) => (row.quantity ? "" : "flat")}
    keys=${{ x: (row) => exit([row]) }}
    actions=${(row) => (row.quantity ? html`<button type="button" class="plain" title="Close (x)" onClick=${() => exit([row])}>Close</button>` : "")} />`;
}

const HELD = [
  COLUMNS[0],
  { id: "quantity", title: "Quantity", number: true, value: (row) => row.quantity, cell: (row) => count(row.quantity) },
  COLUMNS[3], COLUMNS[4],
  { id: "value", title: "Value", number: true, value: (row) => last(row) * row.quantity, cell: (row) => inr(last(row) * row.quantity),
    sum: (rows) => inr(rows.reduce((sum, row) => sum + (last(row) || row.average_price) * row.quantity, 0)) },
  { id: "percent", title: "P&L %", number: true, value: (row) => row.pnlpercent, cell: (row) => html`<span class=${sign(row.pnlpercent)}>${percent(row.pnlpercent)}</span>` },
  COLUMNS[5],
];

export function HoldingsTable({ rows }) {
  useTicks(rows);
  return html`<${Table} id="holdings" name="holdings" columns=${HELD} rows=${rows} keyOf=${keyOf} fresh="end" empty="No holdings." />`;
}
