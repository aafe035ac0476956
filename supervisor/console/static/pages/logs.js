// Logs of every process, merged by time: filter and follow.
import { first, html, mount, useEffect, useRef, useState } from "../lib/ui.js";
import { get } from "../lib/api.js";
import { note } from "../lib/widgets.js";
import "../lib/shell.js";

const LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"];
const MOST = 1000;
const FOLLOW_MS = 1000;
const { sources, lines: begun } = first();
const keyOf = (line) => `${line.at} ${line.source} ${line.message}`;
const clock = new Intl.DateTimeFormat("en-IN", { timeZone: "Asia/Kolkata", hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23" });
const owners = [...new Set(sources.map((name) => name.split(".")[0]))].filter((name) => !sources.includes(name));

function Logs() {
  const [wanted, setWanted] = useState({ source: new URLSearchParams(window.location.search).get("source") || "", level: "INFO", text: "", beats: "" });
  const [lines, setLines] = useState(begun);
  const [follow, setFollow] = useState(true);
  const box = useRef(null);
  const asked = (more = {}) => get(`logs?${new URLSearchParams({ ...wanted, ...more })}`);

  useEffect(() => {
    let left = false;
    const timer = setTimeout(() => asked({ count: 300 }).then((found) => { if (!left) setLines(found.lines); }).catch((error) => note(error.message, "bad")), 200);
    return () => { left = true; clearTimeout(timer); };
  }, [wanted]);
  useEffect(() => {
    if (!follow) return undefined;
    let left = false;
    const timer = setInterval(() => {
      const last = lines.at(-1)?.at;
      if (document.hidden || !last) return;
      asked({ since: last, count: 500 }).then((found) => {
        const known = new Set(lines.slice(-500).map(keyOf));
        const fresh = found.lines.filter((line) => !known.has(keyOf(line)));
        if (!left && fresh.length) setLines([...lines, ...fresh].slice(-MOST));
      }).catch(() => {});
    }, FOLLOW_MS);
    return () => { left = true; clearInterval(timer); };
  }, [wanted, follow, lines]);
  useEffect(() => { if (follow && box.current) box.current.scrollTop = box.current.scrollHeight; }, [lines, follow]);

  const set = (name) => (event) => setWanted({ ...wanted, [name]: event.target.value });
  return html`<section class="card" id="logs">
    <div class="row">
      <label>Process<select value=${wanted.source} onChange=${set("source")}><option value="">all</option>
        ${[...owners, ...sources].sort().map((name) => html`<option value=${name} selected=${name === wanted.source}>${name}</option>`)}</select></label>
      <label>At least<select value=${wanted.level} onChange=${set("level")}>${LEVELS.map((name) => html`<option value=${name} selected=${name === wanted.level}>${name.toLowerCase()}</option>`)}</select></label>
      <label class="wide">Containing<input type="search" value=${wanted.text} maxlength="200" onInput=${set("text")} /></label>
      <label class="inline"><input type="checkbox" checked=${!!wanted.beats} onChange=${() => setWanted({ ...wanted, beats: wanted.beats ? "" : "yes" })} /> Heartbeats</label>
      <label class="inline"><input type="checkbox" checked=${follow} onChange=${() => setFollow(!follow)} /> Follow</label>
    </div>
    <ol class="log-lines" ref=${box} tabindex="0" aria-label="Log lines">${lines.length ? lines.map((line) => html`<li key=${keyOf(line)} class=${line.level}>
      <small>${line.at ? clock.format(new Date(line.at)) : ""}</small> <b>${line.source}</b> ${line.message}</li>`) : html`<li>No such line.</li>`}</ol>
  </section>`;
}

mount(html`<${Logs} />`);
