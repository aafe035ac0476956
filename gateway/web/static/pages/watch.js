// Market watch: lists of instruments, found as you type, with live prices and a depth ladder.
import { html, mount, first, signal, useEffect, useRef, useState } from "../lib/ui.js";
import { now } from "../lib/live.js";
import { STALE_S, ageOf, errorOf, feedLink, hold, tick } from "../lib/feed.js";
import { ask } from "../lib/api.js";
import { Card, Tabs, confirm, note, tried } from "../lib/widgets.js";
import { Finder } from "../lib/finder.js";
import { Table } from "../lib/table.js";
import { compact, count, percent, price, sign, signed, span, time } from "../lib/fmt.js";
import "../lib/shell.js";

const begun = first();
const lists = signal(begun.lists);
const QUOTE = 2, DEPTH = 3;
const keyOf = (one) => `${one.exchange}:${one.symbol}`;

async function keep(next) {
  const before = lists.value;
  lists.value = next;
  const kept = await tried(() => ask("PUT", "lists", { lists: next.map(({ name, symbols }) => ({ name, symbols: symbols.map(({ exchange, symbol }) => ({ exchange, symbol })) })) }));
  if (!kept) lists.value = before;
}

const of = (row) => tick(row.exchange, row.symbol, QUOTE).value;
const before = new Map();

/** The last price; wears green or red for a moment when it moved. */
function Ltp({ row }) {
  const ltp = of(row)?.ltp;
  const node = useRef(null);
  useEffect(() => {
    const old = before.get(keyOf(row));
    if (ltp === undefined) return;
    before.set(keyOf(row), ltp);
    if (old === undefined || old === ltp || !node.current) return;
    // another name begins the animation anew; asking for the layout in between would cost one for every price
    node.current.className = (ltp > old ? "rose" : "fell") + (node.current.className.endsWith("again") ? "" : " again");
  }, [ltp]);
  return html`<b ref=${node}>${price(ltp)}</b>`;
}
const Field = ({ row, show, kind }) => { const data = of(row); return html`<span class=${kind && data ? sign(kind(data)) : ""}>${data ? show(data) : "–"}</span>`; };

function TickAge({ row }) {
  const data = of(row);
  const error = errorOf(row.exchange, row.symbol, QUOTE).value;
  if (error) return html`<span class="age warn" title=${error}>refused</span>`;
  const age = ageOf(data);
  return html`<span class=${`age ${age > STALE_S ? "warn" : ""}`}>${data ? span(age) : "no tick yet"}</span>`;
}

const COLUMNS = [
  { id: "symbol", title: "Symbol", lead: true, value: (row) => row.symbol, cell: (row) => html`${row.symbol}<span class="under">${row.exchange}</span>` },
  { id: "ltp", title: "Last", number: true, main: true, value: (row) => of(row)?.ltp, cell: (row) => html`<${Ltp} row=${row} />` },
  { id: "change", title: "Change", number: true, value: (row) => of(row)?.change, cell: (row) => html`<${Field} row=${row} show=${(data) => signed(data.change)} kind=${(data) => data.change} />` },
  { id: "percent", title: "%", number: true, value: (row) => of(row)?.change_percent, cell: (row) => html`<${Field} row=${row} show=${(data) => percent(data.change_percent)} kind=${(data) => data.change_percent} />` },
  { id: "bid", title: "Bid", number: true, value: (row) => of(row)?.bid, cell: (row) => html`<${Field} row=${row} show=${(data) => (data.bid ? price(data.bid) : "–")} />` },
  { id: "ask", title: "Ask", number: true, value: (row) => of(row)?.ask, cell: (row) => html`<${Field} row=${row} show=${(data) => (data.ask ? price(data.ask) : "–")} />` },
  { id: "volume", title: "Volume", number: true, value: (row) => of(row)?.volume, cell: (row) => html`<${Field} row=${row} show=${(data) => (data.volume ? compact(data.volume) : "–")} />` },
  { id: "oi", title: "OI", number: true, value: (row) => of(row)?.oi, cell: (row) => html`<${Field} row=${row} show=${(data) => (data.oi ? compact(data.oi) : "–")} />` },
  { id: "age", title: "Last tick", number: true, value: (row) => ageOf(of(row)), cell: (row) => html`<${TickAge} row=${row} />` },
];

/** The book of one instrument; ``levels`` as the broker's feed offers them. */
function Ladder({ row, levels, choose, close }) {
  const symbol = levels > 5 ? `${row.symbol}:${levels}` : row.symbol;
  useEffect(() => hold(row.exchange, symbol, DEPTH), [row.exchange, symbol]);
  const data = tick(row.exchange, symbol, DEPTH).value;
  const error = errorOf(row.exchange, symbol, DEPTH).value;
  const { buy = [], sell = [] } = data?.depth || {};
  const most = Math.max(1, ...buy.map((one) => one.quantity), ...sell.map((one) => one.quantity));
  const rows = Math.min(levels, Math.max(buy.length, sell.length));
  const bar = (one) => html`<i class="fill" style=${{ width: `${(100 * (one?.quantity || 0)) / most}%` }}></i>`;
  return html`<${Card} title=${row.symbol} id="ladder" at=${data?.timestamp} budget=${STALE_S}>
    <div class="head"><b class="huge">${price(data?.ltp)}</b> <span class=${sign(data?.change)}>${percent(data?.change_percent)}</span><span class="spring"></span>
      ${begun.levels.length > 1 && html`<${Tabs} label="Levels" active=${levels} choose=${choose} tabs=${begun.levels.map((one) => [one, `${one} levels`])} />`}
      <button type="button" class="plain" onClick=${close}>Close</button></div>
    ${error ? html`<p class="notice warn">${error}</p>` : ""}
    <table class="ladder"><thead><tr><th class="number">Orders</th><th class="number">Bid qty</th><th class="number">Bid</th><th class="number">Ask</th><th class="number">Ask qty</th><th class="number">Orders</th></tr></thead>
      <tbody>${Array.from({ length: rows }, (_, at) => html`<tr key=${at}>
        <td class="number soft">${count(buy[at]?.orders)}</td><td class="number buy">${bar(buy[at])}<span>${count(buy[at]?.quantity)}</span></td><td class="number up">${price(buy[at]?.price)}</td>
        <td class="number down">${price(sell[at]?.price)}</td><td class="number sell">${bar(sell[at])}<span>${count(sell[at]?.quantity)}</span></td><td class="number soft">${count(sell[at]?.orders)}</td></tr>`)}
        ${rows === 0 && html`<tr><td class="empty" colspan="6">No book yet.</td></tr>`}</tbody></table>
    <dl><dt>Open, high, low</dt><dd>${price(data?.open)} · ${price(data?.high)} · ${price(data?.low)}</dd><dt>Close before</dt><dd>${price(data?.close)}</dd>
      <dt>Buyers, sellers</dt><dd>${compact(data?.total_buy_quantity)} · ${compact(data?.total_sell_quantity)}</dd><dt>Received</dt><dd>${time(data?.timestamp)} IST</dd></dl>
  <//>`;
}

/** Holds the quotes of a list for as long as it is shown. */
function useQuotes(symbols) {
  const names = symbols.map(keyOf).join(" ");
  useEffect(() => {
    const releases = symbols.map((one) => hold(one.exchange, one.symbol, QUOTE));
    return () => releases.forEach((release) => release());
  }, [names]);
}

function Watch() {
  const [at, setAt] = useState(0);
  const [open, setOpen] = useState(null);
  const [levels, setLevels] = useState(5);
  const list = lists.value[Math.min(at, lists.value.length - 1)];
  useQuotes(list.symbols);
  const change = (symbols) => keep(lists.value.map((one) => (one === list ? { ...list, symbols } : one)));
  const add = (row) => {
    if (list.symbols.some((one) => keyOf(one) === keyOf(row))) return note(`${row.symbol} is in the list already`, "warn");
    return change([...list.symbols, { exchange: row.exchange, symbol: row.symbol }]);
  };
  const remove = (row) => change(list.symbols.filter((one) => keyOf(one) !== keyOf(row)));
  const named = async (title, value, use) => {
    const given = await confirm({ title, yes: "Keep", fields: [{ name: "name", label: "Name", value, maxlength: 40 }] });
    if (given?.name?.trim()) use(given.name.trim());
  };
  const drop = async () => {
    if (!(await confirm({ title: `Delete the list “${list.name}”?`, yes: "Delete", danger: true }))) return;
    setAt(0);
    keep(lists.value.filter((one) => one !== list));
  };
  const old = (row) => (void now.value, ageOf(of(row)) > STALE_S ? "stale" : "");
  return html`<div class="watch"><section class="card">
    <div class="head"><${Tabs} label="Lists" active=${lists.value.indexOf(list)} choose=${setAt} tabs=${lists.value.map((one, place) => [place, one.name, one.symbols.length])} />
      <button type="button" class="plain" onClick=${() => named("A new list", "", (name) => { setAt(lists.value.length); keep([...lists.value, { name, symbols: [] }]); })}>New list</button>
      <button type="button" class="plain" onClick=${() => named("Name of the list", list.name, (name) => keep(lists.value.map((one) => (one === list ? { ...list, name } : one))))}>Rename</button>
      ${lists.value.length > 1 && html`<button type="button" class="plain" onClick=${drop}>Delete</button>`}
      <span class="spring"></span><span class=${`link ${feedLink.value === "live" ? "good" : "bad"}`} title="The feed's own connection">feed ${feedLink.value}</span></div>
    <${Table} key=${list.name} id="watch" name="watch" columns=${COLUMNS} rows=${list.symbols} keyOf=${keyOf} fresh="end" rowClass=${old}
      empty="Empty. Type above to add an instrument." tools=${html`<${Finder} add=${add} />`}
      keys=${{ Enter: setOpen, d: setOpen, Delete: remove }}
      actions=${(row) => html`<button type="button" class="plain" onClick=${() => setOpen(row)}>Depth</button><button type="button" class="plain" aria-label=${`Remove ${row.symbol}`} onClick=${() => remove(row)}>×</button>`} />
    <p class="hint soft">Keys on a row: ↑ ↓ move, Enter shows the depth, Delete removes.</p>
  </section>
  ${open && html`<${Ladder} key=${keyOf(open)} row=${open} levels=${levels} choose=${setLevels} close=${() => setOpen(null)} />`}</div>`;
}

mount(html`<${Watch} />`);
