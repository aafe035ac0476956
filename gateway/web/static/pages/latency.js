// Latency: every stage of the day's orders; of one stage its distribution, its day and its slowest orders.
import { first, html, mount, useEffect, useState } from "../lib/ui.js";
import { get } from "../lib/api.js";
import { Card, tried } from "../lib/widgets.js";
import { Line } from "../lib/chart.js";
import { Table } from "../lib/table.js";
import { count, known, time } from "../lib/fmt.js";
import "../lib/shell.js";

const WORDS = {
  check: "received to checked", journal: "to journaled, with the wait for a slot", send: "to sent", acknowledge: "broker's round trip",
  answer: "to answered", total: "received to answered", exchange: "sent to shown at the exchange", fill: "sent to filled, MARKET orders",
  cancelled: "cancel sent to cancelled", click_acknowledged: "click to acknowledged", click_drawn: "click to line drawn",
  cancel_gone: "cancel click to line gone", call: "read of the broker",
};
const MARKS = [[1, "the gateway was restarted under it"], [2, "the clock was set under it"], [4, "the clock was set after it"]];
const ms = (value) => (!known(value) ? "–" : value < 100 ? value.toFixed(2) : count(value));
const number = (id, title, value) => ({ id, title, number: true, value, cell: (row) => ms(value(row)) });
const marks = (flags) => MARKS.filter(([bit]) => flags & bit).map(([, words]) => words).join("; ");

const STAGES = [
  { id: "endpoint", title: "Request", lead: true, value: (row) => row.endpoint },
  { id: "stage", title: "Stage", value: (row) => row.stage, cell: (row) => html`${row.stage}<span class="under">${WORDS[row.stage] || ""}</span>` },
  { id: "n", title: "Count", number: true, value: (row) => row.n, cell: (row) => count(row.n) },
  number("p50", "p50 ms", (row) => row.p50_ms), number("p90", "p90 ms", (row) => row.p90_ms),
  number("p99", "p99 ms", (row) => row.p99_ms), number("max", "Longest ms", (row) => row.max_ms),
];
const PARTS = ["check", "journal", "send", "acknowledge", "answer", "exchange", "fill", "cancelled"];
const SLOWEST = [
  { id: "at", title: "At", value: (row) => row.at_ms, cell: (row) => time(row.at_ms) },
  { id: "order", title: "Order", lead: true, value: (row) => row.order_id || "–", cell: (row) => html`${row.order_id || "–"}<span class="under">${row.symbol} ${row.price_type}</span>` },
  { ...number("took", "This stage ms", (row) => row.took_ms), main: true },
  ...PARTS.map((stage) => number(stage, stage, (row) => row.stages[stage])),
  { id: "end", title: "End", value: (row) => row.outcome, cell: (row) => html`${row.outcome}${row.code && html` <small>${row.code}</small>`}<span class="under">${marks(row.flags)}</span>` },
];
const idOf = (row) => `${row.endpoint} ${row.stage}`;

/** Bars over a logarithmic scale of milliseconds. */
function Histogram({ bars }) {
  if (!bars.length) return html`<p class="soft">Nothing on this day.</p>`;
  const most = Math.max(...bars.map((bar) => bar.count));
  const wide = 600 / bars.length, high = 120;
  return html`<svg class="chart" viewBox="0 0 600 140" role="img" aria-label="How many requests took how long" data-bars=${bars.length}>
    ${bars.map((bar, at) => html`<rect x=${at * wide} y=${high - (high * bar.count) / most} width=${Math.max(1, wide - 1)} height=${(high * bar.count) / most} fill="var(--link)">
      <title>${`${ms(bar.low_ms)} to ${ms(bar.high_ms)} ms: ${bar.count}`}</title></rect>`)}
    <text x="0" y="136" font-size="12" fill="currentColor">${ms(bars[0].low_ms)} ms</text>
    <text x="600" y="136" font-size="12" text-anchor="end" fill="currentColor">${ms(bars.at(-1).high_ms)} ms</text></svg>`;
}

function Stage({ chosen, day }) {
  const [found, setFound] = useState(null);
  useEffect(() => {
    let wanted = true;
    setFound(null);
    tried(() => get(`latency/${encodeURIComponent(chosen.endpoint)}/${chosen.stage}?day=${day}`)).then((answer) => wanted && answer && setFound(answer));
    return () => { wanted = false; };
  }, [chosen.endpoint, chosen.stage, day]);
  if (!found) return html`<p class="soft">Loading…</p>`;
  const at = found.series.map((one) => one.at_ms / 1000);
  return html`<div class="pair">
      <${Card} title=${`${found.endpoint}: ${found.stage}`} id="spread"><${Histogram} bars=${found.histogram} /><//>
      <${Card} title="Over the day, five minutes each" id="series">${at.length > 1
        ? ["p50_ms", "p99_ms"].map((name) => html`<h3>${name.slice(0, 3)}</h3><${Line} key=${`${name}${day}`} data=${[at, found.series.map((one) => one[name])]} label=${`${name.slice(0, 3)} in milliseconds`} height=${110} format=${ms} />`)
        : html`<p class="soft">A line needs more than five minutes of orders.</p>`}<//>
    </div>
    <${Card} title=${`The slowest ${found.slowest.length}`} id="slowest">
      <${Table} id="slow" name="slowest" columns=${SLOWEST} rows=${found.slowest} keyOf=${(row) => `${row.order_id} ${row.at_ms} ${row.took_ms}`} fresh="end" empty="None." /><//>`;
}

function Latency() {
  const [found, setFound] = useState(first().overview);
  const [chosen, choose] = useState({ endpoint: "place", stage: "acknowledge" });
  const load = (day) => tried(() => get(`latency?day=${day}`)).then((answer) => answer && setFound(answer));
  const days = found.days.includes(found.day) ? found.days : [...found.days, found.day];
  const tools = html`<label class="inline">Day <select class="slim" aria-label="Day" value=${found.day} onChange=${(event) => load(event.target.value)}>${[...days].reverse().map((day) => html`<option value=${day} selected=${day === found.day}>${day}</option>`)}</select></label>
    <button type="button" class="plain" onClick=${() => load(found.day)}>Read again</button>`;
  const open = (row) => !["browser"].includes(row.endpoint) && !row.endpoint.startsWith("read ");
  return html`<${Card} title="Stages" id="stages">
      <${Table} id="stage-table" name="stages" columns=${STAGES} rows=${found.stages} keyOf=${idOf} fresh="end" empty="No orders on this day." tools=${tools}
        rowClass=${(row) => (idOf(row) === idOf(chosen) ? "on" : "")}
        actions=${(row) => (open(row) ? html`<button type="button" class="plain" aria-label=${`Show ${row.endpoint} ${row.stage}`} onClick=${() => choose(row)}>Show</button>` : "")} /><//>
    <${Stage} chosen=${chosen} day=${found.day} />`;
}

if (first().kept) mount(html`<${Latency} />`);
