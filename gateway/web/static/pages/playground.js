// Try any call of /api/v1 under this session; shows the request a program would send.
import { html, mount, useEffect, useState } from "../lib/ui.js";
import { Card, confirm } from "../lib/widgets.js";
import "../lib/shell.js";

const SKIP = ["apikey"];
const SENDS = /order|close|gtt|panic|toggle|reset/;

const schemaOf = (doc, schema) => (schema?.$ref ? doc.components.schemas[schema.$ref.split("/").at(-1)] : schema);

/** A body to begin with: required fields, and the choices where there are some. */
function example(doc, operation) {
  const schema = schemaOf(doc, operation.requestBody?.content["application/json"].schema) || {};
  const known = { strategy: "playground", symbol: "SBIN", exchange: "NSE", query: "SBIN", interval: "D", quantity: "1" };
  const body = {};
  for (const name of schema.required || []) {
    if (SKIP.includes(name)) continue;
    const field = schema.properties[name] || {};
    body[name] = known[name] ?? field.enum?.[0] ?? (field.type === "array" ? [{ exchange: "NSE", symbol: "SBIN" }] : "");
  }
  return JSON.stringify(body, null, 2);
}

function Playground() {
  const [doc, setDoc] = useState(null);
  const [name, setName] = useState("quotes");
  const [body, setBody] = useState("");
  const [answer, setAnswer] = useState(null);
  const [filter, setFilter] = useState("");
  useEffect(() => { fetch("/api/v1/openapi.json").then((found) => found.json()).then(setDoc); }, []);
  const calls = doc ? Object.entries(doc.paths).filter(([path, about]) => about.post && !about.post.servers && !path.includes("{")).map(([path, about]) => [path.slice(1), about.post]) : [];
  const operation = calls.find(([path]) => path === name)?.[1];
  useEffect(() => { if (operation) { setBody(example(doc, operation)); setAnswer(null); } }, [name, doc]);
  if (!doc) return html`<p class="soft">Loading…</p>`;
  const send = async (event) => {
    event.preventDefault();
    let given;
    try {
      given = JSON.parse(body || "{}");
    } catch (error) {
      setAnswer({ status: "not sent", text: `The body is not JSON: ${error.message}` });
      return;
    }
    if (SENDS.test(name) && !/book|status/.test(name) && !(await confirm({ title: `Send ${name}?`, text: "It is carried out on this account.", yes: "Send it", danger: true }))) return;
    const began = performance.now();
    const found = await fetch(`/web/api/call/${name}`, {
      method: "POST", body: JSON.stringify(given),
      headers: { "Content-Type": "application/json", "X-CSRF-Token": document.querySelector("meta[name=csrf-token]").content },
    });
    const text = await found.text();
    let shown = text;
    try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* not JSON: as it came */ }
    setAnswer({ status: found.status, ok: found.ok, ms: performance.now() - began, text: shown.slice(0, 200000) });
  };
  const schema = schemaOf(doc, operation?.requestBody?.content["application/json"].schema);
  const fields = Object.entries(schema?.properties || {}).filter(([field]) => !SKIP.includes(field));
  const curl = `curl ${window.location.origin}/api/v1/${name} -H 'Content-Type: application/json' \\\n  -d '${JSON.stringify({ apikey: "YOUR_KEY", ...safely(body) })}'`;
  return html`<div class="play">
    <section class="card"><h2>Calls</h2><input type="search" placeholder="Filter" aria-label="Filter calls" value=${filter} onInput=${(event) => setFilter(event.target.value)} />
      <ul class="calls">${calls.filter(([path]) => path.includes(filter.toLowerCase())).map(([path]) => html`<li><button type="button" class="plain" aria-pressed=${path === name} onClick=${() => setName(path)}>${path}</button></li>`)}</ul></section>
    <div>
      <section class="card"><h2>POST /api/v1/${name} <small class="soft">${operation?.summary || ""}</small></h2>
        <form onSubmit=${send}><label>Body, without the key: this page sends it under your session
          <textarea spellcheck="false" rows="8" value=${body} onInput=${(event) => setBody(event.target.value)}></textarea></label>
          <button type="submit">Send</button></form>
        ${fields.length > 0 && html`<h3>Fields</h3><ul class="fields">${fields.map(([field, about]) => html`<li><code>${field}</code>${(schema.required || []).includes(field) ? " *" : ""} <small class="soft">${about.enum ? about.enum.join(", ") : about.type || ""}</small></li>`)}</ul>`}
      </section>
      ${answer && html`<${Card} title="Answer" state=${answer.status} kind=${answer.ok ? "good" : "bad"}>${answer.ms !== undefined && html`<p class="soft">${answer.ms.toFixed(0)} ms in this browser</p>`}<pre tabindex="0" id="answer">${answer.text}</pre><//>`}
      <section class="card"><h2>From a program</h2><pre tabindex="0">${curl}</pre></section>
    </div></div>`;
}

function safely(text) {
  try { return JSON.parse(text); } catch { return {}; }
}

mount(html`<${Playground} />`);
