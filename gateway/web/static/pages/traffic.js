// Traffic and logs: what is asked of this instance, how the feed is, and what its processes write.
import { html, first, mount, useEffect, useRef, useState } from "../lib/ui.js";
import { state } from "../lib/live.js";
import { get } from "../lib/api.js";
import { Card, Facts, Tabs } from "../lib/widgets.js";
import { Table } from "../lib/table.js";
import { query, usePoll } from "./storekit.js";
import { count, known, span, time } from "../lib/fmt.js";
import "../lib/shell.js";

const begun = first();
const EVERY_MS = 3000, FOLLOW_MS = 1000, KEPT = 2000, STATE_S = 5, TICK_S = 10;
const MINUTES = [["1", "1 minute"], ["5", "5 minutes"], ["15", "15 minutes"], ["60", "an hour"]];
const ms = (value) => (value < 10 ? value.toFixed(1) : count(value));

const COLUMNS = [
  { id: "endpoint", title: "Endpoint", lead: true, value: (row) => row.endpoint, cell: (row) => html`<code>${row.endpoint}</code>` },
  { id: "count", title: "Requests", number: true, main: true, value: (row) => row.count, cell: (row) => count(row.count), sum: (rows) => count(rows.reduce((sum, row) => sum + row.count, 0)) },
  { id: "rate", title: "A second", number: true, value: (row) => row.per_s, cell: (row) => row.per_s.toFixed(2), sum: (rows) => rows.reduce((sum, row) => sum + row.per_s, 0).toFixed(2) },
  { id: "refused", title: "Refused (4xx)", number: true, value: (row) => row.refused, cell: (row) => html`<span class=${row.refused ? "warn" : "soft"}>${count(row.refused)}</span>` },
  { id: "failed", title: "Failed (5xx)", number: true, value: (row) => row.failed, cell: (row) => html`<span class=${row.failed ? "bad" : "soft"}>${count(row.failed)}</span>` },
  { id: "p50", title: "p50 ms", number: true, value: (row) => row.p50_ms, cell: (row) => ms(row.p50_ms) },
  { id: "p95", title: "p95 ms", number: true, value: (row) => row.p95_ms, cell: (row) => ms(row.p95_ms) },
  { id: "max", title: "Longest ms", number: true, value: (row) => row.max_ms, cell: (row) => ms(row.max_ms) },
];

function Feed() {
  const found = state.value;
  const feed = found?.feed.feed || {};
  const name = feed.state || "not running";
  const { live, subscribed, ticks_total: total, ticks_per_s: rate, last_tick_age_s: age, clients, zmq } = found?.feed || {};
  return html`<${Card} title="Feed" id="feed" state=${name.replaceAll("_", " ")} kind=${name === "live" ? "good" : name === "not running" ? "bad" : "warn"} at=${found?.now_ms} budget=${STATE_S}>
    <${Facts} rows=${[["Symbols live", known(live) && `${count(live)} of ${count(subscribed)}`], ["Ticks per second", known(rate) && Number(rate).toFixed(1)], ["Ticks in all", known(total) && count(total)],
      ["Last tick", known(age) && `${span(age)} ago`, age > TICK_S ? "bad" : ""], ["WebSocket clients", known(clients) && count(clients)], ["ZeroMQ", known(zmq) && (zmq ? "on" : "off")],
      ["Reason", name === "live" ? "" : feed.reason, "warn"]]} /><//>`;
}

function Traffic() {
  const [minutes, choose] = useState("5");
  const found = usePoll(`traffic?minutes=${minutes}`, EVERY_MS);
  const rows = found.value?.endpoints || [];
  const total = (name) => rows.reduce((sum, row) => sum + row[name], 0);
  return html`<div class="pair"><${Feed} />
      <${Card} title="Requests" id="sum"><${Facts} rows=${[["Answered", count(total("count")), "big"], ["A second", total("per_s").toFixed(2)],
        ["Refused (4xx)", count(total("refused")), total("refused") ? "warn" : ""], ["Failed (5xx)", count(total("failed")), total("failed") ? "bad" : ""]]} /><//></div>
    <${Card} title="Requests by endpoint" id="traffic-card">
      <div class="head"><${Tabs} label="Of the last" active=${minutes} choose=${choose} tabs=${MINUTES} /></div>
      ${found.error && html`<p class="notice bad">${found.error}</p>`}
      <${Table} id="traffic" name="traffic" columns=${COLUMNS} rows=${rows} keyOf=${(row) => row.endpoint} fresh="end" empty="No request in this time." />
      <p class="hint soft">From the api's own log. Health checks, files of the pages and pushes between the processes are not in it.</p><//>`;
}

function Logs() {
  const [process, setProcess] = useState(begun.processes[0]);
  const [level, setLevel] = useState("INFO");
  const [text, setText] = useState("");
  const [follow, setFollow] = useState(true);
  const [found, set] = useState({ lines: [], error: "", left: 0 });
  const cursor = useRef("");
  const box = useRef(null);
  const serial = useRef(0);
  useEffect(() => {
    let gone = false, asking = false;
    cursor.current = "";
    set({ lines: [], error: "", left: 0 });
    const load = async () => {
      if (asking || document.hidden) return;
      asking = true;
      try {
        const answer = await get(`log?${query({ process, level, q: text, after: cursor.current })}`);
        if (!gone) {
          cursor.current = answer.after;
          const fresh = answer.lines.map((line) => ({ ...line, key: ++serial.current }));
          if (fresh.length) set((old) => ({ lines: [...old.lines, ...fresh].slice(-KEPT), error: "", left: old.left + answer.left_out }));
        }
      } catch (error) {
        if (!gone) set((old) => ({ ...old, error: error.message }));
      }
      asking = false;
    };
    const wait = setTimeout(load, text ? 250 : 0);
    const timer = follow ? setInterval(load, FOLLOW_MS) : 0;
    return () => { gone = true; clearTimeout(wait); clearInterval(timer); };
  }, [process, level, text, follow]);
  useEffect(() => { if (follow && box.current) box.current.scrollTop = box.current.scrollHeight; }, [found.lines, follow]);
  return html`<${Card} title="Log" id="log-card">
    <div class="head"><${Tabs} label="Process" active=${process} choose=${setProcess} tabs=${begun.processes.map((one) => [one, one])} />
      <select class="slim" aria-label="Least level" value=${level} onChange=${(event) => setLevel(event.target.value)}>${begun.levels.map((one) => html`<option value=${one} selected=${one === level}>${one.toLowerCase()} and above</option>`)}</select>
      <input class="slim" type="search" aria-label="Filter the log" placeholder="Filter: words that must be there" value=${text} onInput=${(event) => setText(event.target.value)} />
      <label class="inline"><input type="checkbox" checked=${follow} onChange=${(event) => setFollow(event.target.checked)} /> Follow</label>
      <span class="spring"></span><small class="soft">${count(found.lines.length)} lines${found.left ? `, ${count(found.left)} older ones left out` : ""}</small></div>
    ${found.error && html`<p class="notice bad">${found.error}</p>`}
    <div class="log" id="log" ref=${box} tabindex="0" role="log" aria-label=${`Log of the ${process}`}>${found.lines.map((line) => html`<div key=${line.key} class=${`line ${line.level}`}>
      <time title=${line.time}>${time(+new Date(line.time))}</time> <b>${line.level}</b> <span>${line.message} <small class="soft">${Object.entries(line.more).map(([name, value]) => `${name}=${typeof value === "object" ? JSON.stringify(value) : value}`).join(" ")}</small></span></div>`)}
      ${found.lines.length === 0 && html`<p class="empty">No line matches.</p>`}</div>
    <p class="hint soft">Of this instance alone, times in IST, secrets taken out. Older days: <code>algo logs</code>.</p><//>`;
}

mount(html`<${Traffic} /><${Logs} />`);
