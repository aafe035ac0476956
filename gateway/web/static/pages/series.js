// One stored series: a calendar of its trading days, and its candles.
import { html, first, useEffect, useState } from "../lib/ui.js";
import { call, get } from "../lib/api.js";
import { Tabs, tried } from "../lib/widgets.js";
import { count } from "../lib/fmt.js";
import { daysAgo, query } from "./storekit.js";

const begun = first();
const WORDS = { full: "complete", partial: "still running when it was asked", empty: "asked, the broker has nothing", missing: "missing: never asked for", before: "before the first stored day" };
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const pad = (number) => String(number).padStart(2, "0");
/** How far back a chart of each interval begins, in days. */
const SPAN = { "1m": 3, "3m": 7, "5m": 12, "10m": 20, "15m": 30, "30m": 60, "1h": 120, "2h": 240, "4h": 365, D: 730, W: 3650, M: 7300, Q: 7300, Y: 36500 };
const CHOICES = ["1m", "5m", "15m", "1h", "D", "W"];

function Month({ year, month, days }) {
  const first = new Date(Date.UTC(year, month, 1)).getUTCDay();
  const last = new Date(Date.UTC(year, month + 1, 0)).getUTCDate();
  const lead = (first + 6) % 7;
  const cells = [...Array(lead).fill(0), ...Array.from({ length: last }, (_, at) => at + 1)];
  const named = (day) => `${year}-${pad(month + 1)}-${pad(day)}`;
  const here = cells.filter(Boolean).map((day) => days[named(day)]).filter((state) => state && state !== "before");
  const good = here.filter((state) => state === "full" || state === "empty").length;
  const label = `${MONTHS[month]} ${year}: ${here.length ? `${good} of ${here.length} trading days` : "no trading days"}`;
  return html`<figure class="month" role="img" aria-label=${label}><figcaption>${MONTHS[month]} <small class="soft">${here.length ? `${good}/${here.length}` : ""}</small></figcaption>
    <div class="squares">${cells.map((day) => (day ? html`<i class=${days[named(day)] || "closed"} title=${`${named(day)}: ${WORDS[days[named(day)]] || "no trading"}`}></i>` : html`<i class="void"></i>`))}</div></figure>`;
}

function Gaps({ row }) {
  const [year, setYear] = useState(Number(row.last_date.slice(0, 4)));
  const [days, setDays] = useState(null);
  const oldest = Number(row.first_date.slice(0, 4)), newest = Number(begun.today.slice(0, 4));
  useEffect(() => {
    let gone = false;
    setDays(null);
    const asked = { exchange: row.exchange, symbol: row.symbol, interval: row.interval, start_date: `${year}-01-01`, end_date: `${year}-12-31` };
    tried(() => get(`store/days?${query(asked)}`)).then((answer) => { if (gone || !answer) return;
      // what lies before the first bar is no gap in what somebody fetched
      setDays(Object.fromEntries(Object.entries(answer.days).map(([day, state]) => [day, state === "missing" && day < row.first_date ? "before" : state])));
    });
    return () => { gone = true; };
  }, [year, row]);
  const counts = {};
  for (const state of Object.values(days || {})) counts[state] = (counts[state] || 0) + 1;
  const gaps = Object.entries(days || {}).filter(([, state]) => state === "missing").map(([day]) => day);
  const fill = () => tried(() => call("historify/jobs", { symbols: [{ exchange: row.exchange, symbol: row.symbol }], intervals: [row.interval], start_date: gaps[0], end_date: gaps.at(-1) }),
    (answer) => `Job ${answer.data.id} fetches the missing days.`);
  return html`<div class="head"><h3>Trading days of ${year}</h3><span class="spring"></span>
      <button type="button" class="plain" disabled=${year <= oldest} onClick=${() => setYear(year - 1)}>‹ ${year - 1}</button>
      <button type="button" class="plain" disabled=${year >= newest} onClick=${() => setYear(year + 1)}>${year + 1} ›</button></div>
    <div class="months" id="gaps">${MONTHS.map((_, month) => html`<${Month} key=${month} year=${year} month=${month} days=${days || {}} />`)}</div>
    <ul class="day-words">${Object.keys(WORDS).map((state) => html`<li><i class=${state}></i>${WORDS[state]} <b>${count(counts[state] || 0)}</b></li>`)}</ul>
    ${gaps.length > 0 && html`<p><button type="button" onClick=${fill}>Fetch ${gaps.length} missing ${gaps.length === 1 ? "day" : "days"}</button></p>`}`;
}

function Chart({ row }) {
  const usual = row.interval === "D" ? "D" : "5m";
  const [interval, choose] = useState(usual);
  const [found, set] = useState({ rows: null });
  const [Drawn, setDrawn] = useState(null);
  useEffect(() => { import("../lib/stored.js").then((module) => setDrawn(() => module.Candles)); }, []);
  useEffect(() => {
    let gone = false;
    set({ rows: null });
    const start = daysAgo(row.last_date, SPAN[interval]);
    const body = { symbol: row.symbol, exchange: row.exchange, interval, start_date: start < row.first_date ? row.first_date : start, end_date: row.last_date, source: "db" };
    call("history", body).then((answer) => { if (!gone) set({ rows: answer.data }); }, (error) => { if (!gone) set({ rows: [], error: error.message }); });
    return () => { gone = true; };
  }, [interval, row]);
  const offered = row.interval === "D" ? ["D", "W", "M"] : CHOICES;
  return html`<div class="head"><h3>Candles</h3><span class="spring"></span><${Tabs} label="Interval" active=${interval} choose=${choose} tabs=${offered.map((one) => [one, one])} /></div>
    ${found.error ? html`<p class="notice warn">${found.error}</p>` : found.rows && Drawn ? html`<${Drawn} rows=${found.rows} daily=${["D", "W", "M", "Q", "Y"].includes(interval)} label=${`${row.symbol} ${interval}, ${found.rows.length} candles`} />` : html`<p class="soft">Loading…</p>`}`;
}

export function SeriesPanel({ row, close }) {
  return html`<section class="card" id="one-series"><div class="head"><h2>${row.symbol} <small class="soft">${row.exchange} ${row.interval}</small></h2><span class="spring"></span>
    <small class="soft">${row.first_date} to ${row.last_date}</small><button type="button" class="plain" onClick=${close}>Close</button></div>
    <${Chart} row=${row} /><${Gaps} row=${row} /></section>`;
}
