// Market data: what is stored, what is being fetched, lists, files, and whether the store is sound.
import { html, mount, first, useEffect, useState } from "../lib/ui.js";
import { get } from "../lib/api.js";
import { Card, Facts, Tabs } from "../lib/widgets.js";
import { Table } from "../lib/table.js";
import { compact, count, when } from "../lib/fmt.js";
import { SeriesPanel } from "./series.js";
import { Downloads } from "./downloads.js";
import { StoreLists } from "./storelists.js";
import { Check, Files } from "./files.js";
import { EVERY_MS, bytes, seriesKey, usePoll } from "./storekit.js";
import "../lib/shell.js";

const TABS = [["catalog", "Stored"], ["downloads", "Downloads"], ["lists", "Lists and schedules"], ["files", "Import and export"], ["check", "Check"]];
const COLUMNS = [
  { id: "symbol", title: "Symbol", lead: true, value: (row) => row.symbol, cell: (row) => html`${row.symbol}<span class="under">${row.exchange}</span>` },
  { id: "interval", title: "Interval", main: true, value: (row) => row.interval },
  { id: "first", title: "From", value: (row) => row.first_date },
  { id: "to", title: "To", value: (row) => row.last_date },
  { id: "rows", title: "Rows", number: true, value: (row) => row.rows, cell: (row) => count(row.rows), sum: (rows) => count(rows.reduce((sum, row) => sum + row.rows, 0)) },
  { id: "bytes", title: "On disk", number: true, value: (row) => row.bytes, cell: (row) => bytes(row.bytes), sum: (rows) => bytes(rows.reduce((sum, row) => sum + row.bytes, 0)) },
  { id: "source", title: "From broker", value: (row) => row.source },
];
/** Next to an open series there is less room. */
const BESIDE = COLUMNS.filter((column) => column.id !== "source" && column.id !== "bytes");

const PULLER = { idle: "good", pulling: "good", stalled: "bad" };

function Puller({ found }) {
  const { puller, lease, store, jobs } = found;
  const state = puller.running ? puller.state : "not running";
  const waits = [].concat(puller.waiting_for || []).map((one) => (typeof one === "string" ? one : JSON.stringify(one)));
  const open = ["queued", "running", "paused"].map((name) => jobs[name] && `${jobs[name]} ${name}`).filter(Boolean).join(", ");
  return html`<div class="cards three">
    <${Card} title="Downloader" id="puller" state=${state} kind=${puller.running ? PULLER[state] || "warn" : "bad"}>
      ${lease?.stalled && html`<p class="notice bad">The downloader runs and has lost its right to write: it has stalled and will be restarted.</p>`}
      <${Facts} rows=${[["Downloads through", puller.puller || lease?.instance || "nobody"], ["Waits for", waits.join("; "), "warn"], ["Jobs", open || "none open"],
        ["Process", puller.pid]]} />
      ${!puller.running && html`<p class="hint soft">Reading needs no downloader. <code>algo up</code> starts it.</p>`}
    <//>
    <${Card} title="Right to write" id="lease" state=${lease ? (lease.stalled ? "stalled" : lease.state) : "never taken"} kind=${lease ? (lease.stalled ? "bad" : lease.state === "held" ? "good" : "warn") : "warn"}>
      <${Facts} rows=${lease ? [["Instance", lease.instance], ["Epoch", lease.epoch], ["Renewed", when(lease.renewed_at * 1000)], ["Ends without renewal", when(lease.expires_at * 1000)]] : [["State", "nothing was downloaded yet"]]} />
    <//>
    <${Card} title="Store" id="store">
      <${Facts} rows=${[["Rows", compact(store.rows), "big"], ["Instruments", count(store.symbols)], ["Series", count(store.series)], ["On disk", bytes(store.bytes)]]} />
    <//>
  </div>`;
}

function Catalog({ rows, error, open, choose }) {
  return html`<div class=${open ? "split" : ""}><section class="card" id="catalog">
    ${error && html`<p class="notice bad">${error}</p>`}
    <${Table} id="series" name="series" columns=${open ? BESIDE : COLUMNS} rows=${rows} keyOf=${seriesKey} fresh="end" keys=${{ Enter: choose }}
      empty="Nothing is stored yet. Begin with a download." rowClass=${(row) => (open && seriesKey(open) === seriesKey(row) ? "chosen" : "")}
      actions=${(row) => html`<button type="button" class="plain" onClick=${() => choose(row)}>Show</button>`} />
    <p class="hint soft">Keys on a row: ↑ ↓ move, Enter shows its calendar and chart.</p>
  </section>
  ${open && html`<${SeriesPanel} key=${seriesKey(open)} row=${open} close=${() => choose(null)} />`}</div>`;
}

function MarketData() {
  const [tab, setTab] = useState(window.location.hash.slice(1) || "catalog");
  const [open, choose] = useState(null);
  const status = usePoll("call/historify/status", EVERY_MS, (answer) => answer.data);
  const [catalog, setCatalog] = useState({ rows: first().catalog.rows || [], error: first().catalog.error });
  const stored = status.value && `${status.value.store.rows} ${status.value.store.series}`;
  useEffect(() => {
    get("call/historify/catalog").then((answer) => setCatalog({ rows: answer.data }), (error) => setCatalog((old) => ({ ...old, error: error.message })));
  }, [stored]);
  const go = (next) => {
    setTab(next);
    window.history.replaceState(null, "", `#${next}`);
  };
  const known = TABS.some(([id]) => id === tab) ? tab : "catalog";
  return html`${status.error && html`<p class="notice bad">${status.error}</p>`}
    ${status.value && html`<${Puller} found=${status.value} />`}
    <div class="head"><${Tabs} label="Market data" tabs=${TABS} active=${known} choose=${go} /></div>
    ${known === "catalog" && html`<${Catalog} ...${catalog} open=${open} choose=${choose} />`}
    ${known === "downloads" && html`<${Downloads} />`}
    ${known === "lists" && html`<${StoreLists} />`}
    ${known === "files" && html`<${Files} rows=${catalog.rows} />`}
    ${known === "check" && html`<${Check} />`}`;
}

mount(html`<${MarketData} />`);
