// Lists of instruments for downloads, and the downloads that repeat.
import { html, first, useState } from "../lib/ui.js";
import { call } from "../lib/api.js";
import { Card, confirm, note, tried } from "../lib/widgets.js";
import { Table } from "../lib/table.js";
import { count, span, when } from "../lib/fmt.js";
import { Picked, keyOf, query, usePoll } from "./storekit.js";

const begun = first();
const button = (text, press, label) => html`<button type="button" class="plain" aria-label=${label} onClick=${press}>${text}</button>`;

function OneList({ name, close, changed }) {
  const found = usePoll(`call/historify/watchlist?${query({ name })}`, 15_000, (answer) => answer.data);
  const keys = found.value?.keys || [];
  const change = async (body) => {
    await tried(() => call("historify/watchlists", { name, ...body }));
    found.again();
    changed();
  };
  const set = (next) => {
    const add = next.filter((one) => !keys.some((old) => keyOf(old) === keyOf(one)));
    const remove = keys.filter((one) => !next.some((kept) => keyOf(kept) === keyOf(one)));
    return change({ add, remove });
  };
  return html`<${Card} title=${`List ${name}`} id="one-list"><div class="head"><span class="spring"></span><button type="button" class="plain" onClick=${close}>Close</button></div>
    ${found.error && html`<p class="notice bad">${found.error}</p>`}${found.value && html`<${Picked} picked=${keys} set=${set} label=${`Add to ${name}`} />`}<//>`;
}

function Lists({ lists }) {
  const [open, setOpen] = useState(null);
  const make = async () => {
    const given = await confirm({ title: "A new list", yes: "Make it", fields: [{ name: "name", label: "Name", value: "", maxlength: 60 }] });
    const name = given?.name?.trim();
    if (!name) return;
    if (await tried(() => call("historify/watchlists", { name, add: [], remove: [] }))) { await lists.again(); setOpen(name); }
  };
  const drop = async (row) => {
    if (!(await confirm({ title: `Delete the list “${row.name}”?`, text: "Stored bars of its instruments stay.", yes: "Delete", danger: true }))) return;
    await tried(() => call("historify/watchlists/delete", { name: row.name }), `${row.name} is deleted.`);
    if (open === row.name) setOpen(null);
    lists.again();
  };
  const columns = [
    { id: "name", title: "List", lead: true, value: (row) => row.name },
    { id: "symbols", title: "Instruments", number: true, main: true, value: (row) => row.symbols, cell: (row) => count(row.symbols) },
    { id: "made", title: "Made", value: (row) => row.created_at, cell: (row) => when(row.created_at * 1000) },
  ];
  return html`<${Card} title="Lists" id="lists-card">${lists.error && html`<p class="notice bad">${lists.error}</p>`}
      <${Table} id="store-lists" name="lists" columns=${columns} rows=${lists.value || []} keyOf=${(row) => row.name} empty="No list yet." keys=${{ Enter: (row) => setOpen(row.name) }}
        tools=${button("New list", make)} actions=${(row) => html`${button("Open", () => setOpen(row.name))}${button("Delete", () => drop(row))}`} /><//>
    ${open !== null && html`<${OneList} key=${open} name=${open} close=${() => setOpen(null)} changed=${lists.again} />`}`;
}

function NewSchedule({ made, lists }) {
  const submit = async (event) => {
    event.preventDefault();
    const node = event.currentTarget, form = new FormData(node);
    const chosen = begun.stored.filter((one) => form.has(`interval-${one}`));
    if (!chosen.length) return note("Choose an interval.", "warn");
    const body = { name: form.get("name").trim(), watchlist: form.get("watchlist"), intervals: chosen, at: form.get("at"), lookback_days: Number(form.get("days")) };
    if (await tried(() => call("historify/schedules", body), `${body.name} repeats from now on.`)) { node.reset(); made(); }
    return undefined;
  };
  return html`<form class="row" onSubmit=${submit}>
    <label>Name<input name="name" required maxlength="60" placeholder="after the close" /></label>
    <label>List<select name="watchlist" required><option value="">–</option>${(lists.value || []).map((one) => html`<option value=${one.name}>${one.name}</option>`)}</select></label>
    <label>At (IST, Monday to Friday)<input type="time" name="at" required defaultValue="16:15" /></label>
    <label>Days to look back<input type="number" name="days" min="1" max="365" defaultValue="5" /></label>
    <fieldset><legend>Intervals</legend>${begun.stored.map((one) => html`<label class="inline"><input type="checkbox" name=${`interval-${one}`} defaultChecked /> ${one}</label>`)}</fieldset>
    <button type="submit">Repeat</button></form>`;
}

function Schedules({ lists }) {
  const rows = usePoll("call/historify/schedules", 15_000, (answer) => answer.data);
  const act = async (row, what, done, ask) => {
    if (ask && !(await confirm({ title: ask, yes: "Delete", danger: true }))) return;
    await tried(() => call(`historify/schedules/${what}`, { name: row.name }), `${row.name} ${done}.`);
    rows.again();
  };
  const columns = [
    { id: "name", title: "Schedule", lead: true, value: (row) => row.name, cell: (row) => html`${row.name}<span class="under">${row.watchlist || `${row.keys.length} instruments`}, ${row.intervals.join(" ")}</span>` },
    { id: "state", title: "State", main: true, value: (row) => row.enabled, cell: (row) => html`<b class=${`state ${row.enabled ? "good" : "warn"}`}>${row.enabled ? "on" : "rests"}</b>` },
    { id: "when", title: "When", value: (row) => row.at || row.every_s, cell: (row) => (row.at ? `${row.at} IST` : `every ${span(row.every_s)}`) },
    { id: "next", title: "Next", value: (row) => row.next_at, cell: (row) => (row.next_at ? when(row.next_at * 1000) : "–") },
    { id: "last", title: "Last job", value: (row) => row.last_job, cell: (row) => html`${row.last_job ?? "–"}${row.last_error && html`<span class="under bad">${row.last_error}</span>`}` },
  ];
  return html`<${Card} title="Downloads that repeat" id="schedules-card">${rows.error && html`<p class="notice bad">${rows.error}</p>`}
    <${NewSchedule} made=${rows.again} lists=${lists} />
    <${Table} id="schedules" name="schedules" columns=${columns} rows=${rows.value || []} keyOf=${(row) => row.name} empty="Nothing repeats."
      actions=${(row) => html`${button("Run now", () => act(row, "run", "is queued"))}
        ${row.enabled ? button("Let it rest", () => act(row, "pause", "rests")) : button("Switch on", () => act(row, "resume", "runs again"))}
        ${button("Delete", () => act(row, "delete", "is deleted", `Delete the schedule “${row.name}”?`))}`} /><//>`;
}

export function StoreLists() {
  const lists = usePoll("call/historify/watchlists", 15_000, (answer) => answer.data);
  return html`<${Lists} lists=${lists} /><${Schedules} lists=${lists} />`;
}
