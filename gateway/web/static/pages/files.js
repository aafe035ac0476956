// Bars from files and into files; and whether what is stored is sound.
import { html, first, useState } from "../lib/ui.js";
import { call, get } from "../lib/api.js";
import { Card, Facts, Tabs, note, tried } from "../lib/widgets.js";
import { Table } from "../lib/table.js";
import { count, when } from "../lib/fmt.js";
import { EVERY_MS, daysAgo, query, seriesKey, usePoll } from "./storekit.js";

const begun = first();
const PART = 600_000;
const FORMATS = { csv: "CSV", txt: "TXT", parquet: "Parquet", zip: "ZIP of CSV files", "zip-txt": "ZIP of TXT files" };
const PLAUSIBLE = ["warning", "error", "bad"];

const encoded = (part) => new Promise((done, failed) => {
  const reader = new FileReader();
  reader.onload = () => done(reader.result.slice(reader.result.indexOf(",") + 1));
  reader.onerror = () => failed(new Error("the file cannot be read"));
  reader.readAsDataURL(part);
});

/** Send a file in parts; its upload id. A too-quick part waits and is sent again. */
async function sent(file, progress) {
  let upload = "";
  for (let at = 0; at < file.size || !upload; at += PART) {
    const base64 = await encoded(file.slice(at, at + PART));
    for (let attempt = 0; ; attempt++) {
      try {
        upload = (await call("historify/upload", { upload, base64 })).data.upload;
        break;
      } catch (error) {
        if (error.status !== 429 || attempt > 20) throw error;
        await new Promise((go) => setTimeout(go, 1000));
      }
    }
    progress(Math.min(1, (at + PART) / Math.max(1, file.size)));
  }
  return upload;
}

function Report({ found }) {
  const columns = [
    { id: "line", title: "Line", number: true, lead: true, value: (row) => row.line },
    { id: "column", title: "Column", value: (row) => row.column },
    { id: "why", title: "Why", wide: true, value: (row) => row.why, cell: (row) => html`<span class="why">${row.why}</span>` },
  ];
  return html`<div id="import-report">
    <${Facts} rows=${[["File", `${found.file}, ${found.kind} ${found.style}`], ["Rows", count(found.rows)], ["Bad rows", count(found.bad), found.bad ? "bad" : "good"],
      ["New", count(found.added)], ["Different from what is stored", count(found.changed), found.changed ? "warn" : ""],
      ["Series", found.series.slice(0, 12).map((one) => `${one.symbol} ${one.interval} (${count(one.rows)})`).join(", ") + (found.series.length > 12 ? ` and ${found.series.length - 12} more` : "")]]} />
    ${found.errors.length > 0 && html`<${Table} id="row-errors" name="row errors" columns=${columns} rows=${found.errors} keyOf=${(row) => `${row.line} ${row.column}`} fresh="end" empty="None." />`}</div>`;
}

function Import() {
  const [step, setStep] = useState({ at: 0 });
  const [report, setReport] = useState(null);
  const [ready, setReady] = useState(null);
  const tasks = usePoll("call/historify/tasks?limit=20", EVERY_MS, (answer) => answer.data);
  const options = (node) => {
    const form = new FormData(node);
    return { exchange: form.get("exchange"), symbol: form.get("symbol").trim().toUpperCase(), interval: form.get("interval"), zone: form.get("zone"), skip_bad: form.has("skip_bad") };
  };
  const look = async (event) => {
    event.preventDefault();
    const node = event.currentTarget, file = new FormData(node).get("file");
    setReport(null);
    setReady(null);
    if (!file?.size) return note("Choose a file that is not empty.", "warn");
    const upload = await tried(() => sent(file, (at) => setStep({ at })));
    setStep({ at: 0 });
    if (!upload) return undefined;
    const body = { upload, name: file.name.slice(0, 100), ...options(node) };
    const answer = await tried(() => call("historify/import", { ...body, dry_run: true }));
    if (answer) { setReport(answer.data); setReady({ body, node }); }
    return undefined;
  };
  const go = async () => {
    const answer = await tried(() => call("historify/import", { ...ready.body, ...options(ready.node) }), (found) => `Import ${found.data.id} is queued.`);
    if (answer) { setReady(null); setReport(null); tasks.again(); }
  };
  const columns = [
    { id: "id", title: "Task", lead: true, value: (row) => row.id, cell: (row) => html`${row.id}<span class="under">${row.kind} ${row.params.name || ""}</span>` },
    { id: "state", title: "State", main: true, value: (row) => row.state, cell: (row) => html`<b class=${`state ${row.state === "done" ? "good" : row.state === "failed" ? "bad" : "warn"}`}>${row.state}</b>` },
    { id: "rows", title: "Rows", number: true, value: (row) => row.rows_done, cell: (row) => (row.rows ? `${count(row.rows_done)} of ${count(row.rows)}` : count(row.rows_done)) },
    { id: "at", title: "Asked", value: (row) => row.created_at, cell: (row) => html`${when(row.created_at * 1000)}<span class="under">${row.requested_by}</span>` },
    { id: "error", title: "What went wrong", wide: true, value: (row) => row.error, cell: (row) => html`<span class="why ${row.error ? "bad" : "soft"}">${row.error || "–"}</span>` },
  ];
  const end = async (row) => { await tried(() => call("historify/tasks/cancel", { task: row.id }), `Task ${row.id} is ended.`); tasks.again(); };
  return html`<${Card} title="Import" id="import">
      <form onSubmit=${look}><div class="row">
        <label class="wide">CSV, TXT, Parquet or ZIP<input type="file" name="file" required accept=".csv,.txt,.parquet,.zip,.gz" /></label>
        <label>Exchange <small>(when the file does not say)</small><select name="exchange"><option value="">as in the file</option>${begun.exchanges.map((one) => html`<option>${one}</option>`)}</select></label>
        <label>Symbol<input name="symbol" maxlength="100" placeholder="as in the file" /></label>
        <label>Interval<select name="interval"><option value="">as in the file</option>${begun.stored.map((one) => html`<option>${one}</option>`)}</select></label>
        <label>Times are in<select name="zone"><option>Asia/Kolkata</option><option>UTC</option></select></label></div>
        <div class="row"><label class="inline"><input type="checkbox" name="skip_bad" /> Leave out bad rows</label><span class="spring"></span><button type="submit">Look at it first</button></div></form>
      ${step.at > 0 && html`<div class="progress"><progress max="1" value=${step.at} aria-label="Sent"></progress> <span>${Math.floor(step.at * 100)} % sent</span></div>`}
      ${report && html`<h3>What an import would do</h3><${Report} found=${report} />`}
      ${ready && html`<p><button type="button" onClick=${go} disabled=${report.bad > 0 && !new FormData(ready.node).has("skip_bad")}>Import ${count(report.rows - report.bad)} rows</button>
        ${report.bad > 0 && html` <small class="soft">Bad rows stop it unless they are left out.</small>`}</p>`}<//>
    ${tasks.value?.length > 0 && html`<${Card} title="Imports and deletions" id="tasks-card"><${Table} id="tasks" name="tasks" columns=${columns} rows=${tasks.value} keyOf=${(row) => String(row.id)} empty="None yet."
      actions=${(row) => ["queued", "running"].includes(row.state) && html`<button type="button" class="plain" onClick=${() => end(row)}>Cancel</button>`} /><//>`}`;
}

function Export({ rows }) {
  const exchanges = [...new Set(rows.map((row) => row.exchange))].sort();
  const [exchange, setExchange] = useState(exchanges[0] || "NSE");
  const symbols = [...new Set(rows.filter((row) => row.exchange === exchange).map((row) => row.symbol))].sort();
  const submit = (event) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const chosen = form.getAll("symbols");
    if (!chosen.length) return note("Choose what to export.", "warn");
    const asked = { exchange, symbols: chosen.join(","), interval: form.get("interval"), start_date: form.get("start"), end_date: form.get("end"), format: form.get("format"), ...(form.has("adjusted") ? { adjusted: "true" } : {}) };
    const link = document.createElement("a");
    link.href = `/web/api/call/historify/export?${query(asked)}`;
    link.download = "";
    link.click();
    return undefined;
  };
  if (!rows.length) return html`<${Card} title="Export"><p class="empty">Nothing is stored yet.</p><//>`;
  return html`<${Card} title="Export" id="export"><form onSubmit=${submit}><div class="row">
      <label>Exchange<select name="exchange" value=${exchange} onChange=${(event) => setExchange(event.target.value)}>${exchanges.map((one) => html`<option>${one}</option>`)}</select></label>
      <label class="wide">Instruments <small>(Ctrl chooses several)</small><select name="symbols" multiple size="5" required>${symbols.map((one, at) => html`<option selected=${at === 0}>${one}</option>`)}</select></label>
      <label>Interval<select name="interval">${begun.intervals.map((one) => html`<option selected=${one === "D"}>${one}</option>`)}</select></label>
      <label>From<input type="date" name="start" required defaultValue=${daysAgo(begun.today, 30)} /></label>
      <label>To<input type="date" name="end" required defaultValue=${begun.today} /></label>
      <label>Format<select name="format">${begun.formats.map((one) => html`<option value=${one}>${FORMATS[one] || one}</option>`)}</select></label></div>
      <div class="row"><label class="inline"><input type="checkbox" name="adjusted" /> Adjusted for splits and bonuses</label><span class="spring"></span><button type="submit">Export</button></div></form><//>`;
}

export const Files = ({ rows }) => html`<div class="pair"><div><${Import} /></div><div><${Export} rows=${rows} /></div></div>`;

export function Check() {
  const [found, set] = useState(null);
  const [busy, setBusy] = useState(false);
  const [kind, choose] = useState("");
  const run = async (work) => {
    setBusy(true);
    const answer = await tried(work);
    setBusy(false);
    if (answer) set(answer.data);
    return answer;
  };
  const look = (event) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const asked = { exchange: form.get("exchange"), symbol: form.get("symbol").trim().toUpperCase(), start_date: form.get("start"), end_date: form.get("end") };
    run(() => get(`call/historify/verify?${query(asked)}`)).then((answer) => answer && set({ ...answer.data, asked }));
  };
  const mend = async () => {
    const answer = await run(() => call("historify/verify", Object.fromEntries(Object.entries(found.asked || {}).filter(([, value]) => value))));
    if (answer) note(answer.data.jobs.length ? `Queued: job ${answer.data.jobs.join(", ")}.` : "Nothing of it can be mended by a download.", answer.data.jobs.length ? "good" : "warn");
  };
  const columns = [
    { id: "symbol", title: "Series", lead: true, value: (row) => row.symbol, cell: (row) => html`${row.symbol}<span class="under">${row.exchange} ${row.interval}</span>` },
    { id: "kind", title: "Found", main: true, value: (row) => row.kind, cell: (row) => html`<b class=${PLAUSIBLE.includes(row.severity) ? "warn" : ""}>${row.kind.replaceAll("_", " ")}</b>` },
    { id: "days", title: "Days", value: (row) => row.first, cell: (row) => (row.first.slice(0, 10) === row.last.slice(0, 10) ? row.first.slice(0, 10) : `${row.first.slice(0, 10)} to ${row.last.slice(0, 10)}`) },
    { id: "bars", title: "Bars", number: true, value: (row) => row.bars, cell: (row) => count(row.bars) },
    { id: "told", title: "In words", wide: true, value: (row) => row.told, cell: (row) => html`<span class="why">${row.told} <span class="soft">${row.advice}</span></span>` },
  ];
  const rows = (found?.findings || []).filter((row) => !kind || row.kind === kind);
  return html`<${Card} title="Is the store sound?" id="verify" state=${found && (found.sound ? "sound" : `${found.findings.length} findings`)} kind=${found?.sound ? "good" : "warn"}>
    <form class="row" onSubmit=${look}>
      <label>Exchange<select name="exchange"><option value="">all</option>${begun.exchanges.map((one) => html`<option>${one}</option>`)}</select></label>
      <label>Symbol<input name="symbol" maxlength="100" placeholder="all" /></label>
      <label>From<input type="date" name="start" /></label><label>To<input type="date" name="end" /></label>
      <button type="submit" disabled=${busy}>${busy ? "Looking…" : "Look"}</button></form>
    <p class="hint soft">Gaps, spikes, splits nobody told of, contradictions between days and minutes, damaged files. At most 100 series at a time.</p>
    ${found && html`<p><b>${count(found.bars)}</b> bars of <b>${count(found.series)}</b> series were looked at.</p>
      ${found.findings.length > 0 && html`<div class="head"><${Tabs} label="Kinds" active=${kind} choose=${choose} tabs=${[["", "All", found.findings.length], ...Object.entries(found.counts).map(([name, number]) => [name, name.replaceAll("_", " "), number])]} />
        <span class="spring"></span><button type="button" class="plain" disabled=${busy} onClick=${mend}>Fetch again what can be mended</button></div>
      <${Table} id="findings" name="findings" columns=${columns} rows=${rows} keyOf=${(row) => `${seriesKey(row)} ${row.kind} ${row.first} ${row.last}`} fresh="end" empty="None." />`}`}<//>`;
}
