// Download jobs: a new one, how far each is, what went wrong with which symbol.
import { html, first, useState } from "../lib/ui.js";
import { call } from "../lib/api.js";
import { Card, Tabs, confirm, note, tried } from "../lib/widgets.js";
import { Table } from "../lib/table.js";
import { compact, count, span, when } from "../lib/fmt.js";
import { EVERY_MS, Picked, daysAgo, query, seriesKey, usePoll } from "./storekit.js";

const begun = first();
const OPEN = ["queued", "running", "paused"];
const KIND = { done: "good", running: "good", failed: "bad", cancelled: "", queued: "warn", paused: "warn" };
const MODES = { missing: "only what is missing", all: "everything again" };

function NewJob({ made }) {
  const [picked, setPicked] = useState([]);
  const lists = usePoll("call/historify/watchlists", 30_000, (answer) => answer.data);
  const submit = async (event) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const list = form.get("watchlist") || "";
    const chosen = begun.stored.filter((one) => form.has(`interval-${one}`));
    if (!chosen.length) return note("Choose an interval.", "warn");
    if (!list && !picked.length) return note("Choose instruments or a list.", "warn");
    if (list && picked.length) return note("Either a list or instruments, not both.", "warn");
    const body = { intervals: chosen, start_date: form.get("start"), end_date: form.get("end"), mode: form.get("mode"), ...(list ? { watchlist: list } : { symbols: picked }) };
    const answer = await tried(() => call("historify/jobs", body), (found) => (found.new ? `Job ${found.data.id} is queued.` : `Job ${found.data.id} fetches that already.`));
    if (answer) { setPicked([]); made(answer.data.id); }
    return undefined;
  };
  return html`<${Card} title="New download" id="new-job"><form onSubmit=${submit}>
    <div class="row"><div class="wide"><${Picked} picked=${picked} set=${setPicked} label="Instruments to download" /></div>
      <label>or a list<select name="watchlist"><option value="">–</option>${(lists.value || []).map((one) => html`<option value=${one.name}>${one.name} (${one.symbols})</option>`)}</select></label></div>
    <div class="row">
      <label>From<input type="date" name="start" required defaultValue=${daysAgo(begun.today, 30)} max=${begun.today} /></label>
      <label>To<input type="date" name="end" required defaultValue=${begun.today} max=${begun.today} /></label>
      <fieldset><legend>Intervals</legend>${begun.stored.map((one) => html`<label class="inline"><input type="checkbox" name=${`interval-${one}`} defaultChecked /> ${one}</label>`)}</fieldset>
      <label>Fetch<select name="mode">${begun.modes.map((one) => html`<option value=${one}>${MODES[one] || one}</option>`)}</select></label>
      <button type="submit">Download</button></div>
  </form><//>`;
}

const names = (job) => job.first_symbols.map((one) => one.symbol).join(", ") + (job.symbols > job.first_symbols.length ? ` and ${job.symbols - job.first_symbols.length} more` : "");
const percent = (job) => `${Math.floor(job.progress * 100)} %`;

function Bar({ job }) {
  return html`<div class="progress"><progress max="1" value=${job.progress} aria-label=${`Job ${job.id}`}></progress> <span>${percent(job)}</span></div>`;
}

const COLUMNS = [
  { id: "id", title: "Job", lead: true, value: (job) => job.id, cell: (job) => html`${job.id}<span class="under">${names(job)}</span>` },
  { id: "state", title: "State", main: true, value: (job) => job.state, cell: (job) => html`<b class=${`state ${KIND[job.state]}`}>${job.state}${job.partial ? ", partly" : ""}</b>` },
  { id: "progress", title: "Progress", wide: true, value: (job) => job.progress, cell: (job) => html`<${Bar} job=${job} />` },
  { id: "series", title: "Series", number: true, value: (job) => job.series_done, cell: (job) => html`${count(job.series_done)} of ${count(job.series)}` },
  { id: "failed", title: "Failed", number: true, value: (job) => job.series_failed, cell: (job) => html`<span class=${job.series_failed ? "bad" : "soft"}>${count(job.series_failed)}</span>` },
  { id: "rows", title: "Rows", number: true, value: (job) => job.rows, cell: (job) => compact(job.rows) },
  { id: "rate", title: "Rows/s", number: true, value: (job) => job.rows_per_s, cell: (job) => compact(job.rows_per_s) },
  { id: "eta", title: "Left", number: true, value: (job) => job.eta_s, cell: (job) => (job.state === "running" && job.eta_s !== null ? span(job.eta_s) : "–") },
  { id: "range", title: "Days", value: (job) => job.start_date, cell: (job) => html`${job.start_date}<span class="under">to ${job.end_date}, ${job.intervals.join(" ")}</span>` },
  { id: "made", title: "Asked", value: (job) => job.created_at, cell: (job) => html`${when(job.created_at * 1000)}<span class="under">${job.requested_by}</span>` },
];

const ITEM_COLUMNS = [
  { id: "symbol", title: "Symbol", lead: true, value: (row) => row.symbol, cell: (row) => html`${row.symbol}<span class="under">${row.exchange} ${row.interval}</span>` },
  { id: "state", title: "State", main: true, value: (row) => row.state, cell: (row) => html`<b class=${`state ${KIND[row.state]}`}>${row.state}</b>` },
  { id: "rows", title: "Rows", number: true, value: (row) => row.rows, cell: (row) => count(row.rows) },
  { id: "calls", title: "Calls", number: true, value: (row) => row.calls_done, cell: (row) => `${row.calls_done} of ${row.calls}` },
  { id: "error", title: "What went wrong", wide: true, value: (row) => row.error, cell: (row) => html`<span class="why ${row.error ? "bad" : "soft"}">${row.error || "–"}</span>` },
];

function One({ id, close }) {
  const [state, choose] = useState("");
  const found = usePoll(`call/historify/job?${query({ job: id, state, limit: 1000 })}`, EVERY_MS, (answer) => answer.data);
  const job = found.value;
  return html`<${Card} title=${`Job ${id}`} id="one-job" state=${job?.state} kind=${KIND[job?.state]}>
    <div class="head"><${Tabs} label="Series by state" active=${state} choose=${choose} tabs=${[["", "All", job?.series], ["failed", "Failed", job?.series_failed], ["queued", "Waiting"], ["done", "Done", job?.series_done]]} />
      <span class="spring"></span><button type="button" class="plain" onClick=${close}>Close</button></div>
    ${found.error && html`<p class="notice bad">${found.error}</p>`}${job?.error && html`<p class="notice bad">${job.error}</p>`}
    ${job && html`<${Table} id="items" name=${`job ${id}`} columns=${ITEM_COLUMNS} rows=${job.items} keyOf=${seriesKey} fresh="end" empty="None." />`}<//>`;
}

export function Downloads() {
  const [open, setOpen] = useState(null);
  const jobs = usePoll("call/historify/jobs?limit=100", EVERY_MS, (answer) => answer.data);
  const act = async (job, what, done, ask) => {
    if (ask && !(await confirm({ title: ask, yes: "End it", no: "Let it run", danger: true }))) return;
    await tried(() => call(`historify/jobs/${what}`, { job: job.id }), `Job ${job.id} ${done}.`);
    jobs.again();
  };
  const button = (text, press) => html`<button type="button" class="plain" onClick=${press}>${text}</button>`;
  const actions = (job) => html`${button("Series", () => setOpen(job.id))}
    ${(job.state === "running" || job.state === "queued") && button("Pause", () => act(job, "pause", "pauses"))}
    ${job.state === "paused" && button("Resume", () => act(job, "resume", "goes on"))}
    ${OPEN.includes(job.state) && button("Cancel", () => act(job, "cancel", "is ended", `End job ${job.id}? What it has fetched stays.`))}
    ${!OPEN.includes(job.state) && job.series_failed > 0 && button("Retry failed", () => act(job, "retry", "asks again for what failed"))}`;
  const shown = (id) => { setOpen(id); jobs.again(); };
  return html`<${NewJob} made=${shown} />
    ${open !== null && html`<${One} key=${open} id=${open} close=${() => setOpen(null)} />`}
    <${Card} title="Downloads" id="jobs-card">${jobs.error && html`<p class="notice bad">${jobs.error}</p>`}
      ${jobs.value && html`<${Table} id="jobs" name="jobs" columns=${COLUMNS} rows=${jobs.value} keyOf=${(job) => String(job.id)} empty="No download yet." actions=${actions} keys=${{ Enter: (job) => setOpen(job.id) }} />`}<//>`;
}
