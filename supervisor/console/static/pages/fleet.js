// The fleet: a card per instance, what they share, panic, events, and one contract on all of them.
import { html, mount, useState } from "../lib/ui.js";
import { fleet } from "../lib/live.js";
import { note } from "../lib/widgets.js";
import { when } from "../lib/fmt.js";
import { login, panic, restart, resume, start, stop } from "./doing.js";
import "../lib/shell.js";

const LESS = new Set(["pids", "ports", "version", "descriptors", "restarts"]);

function Facts({ rows }) {
  return html`<dl>${rows.map((one) => html`<dt key=${one.id}>${one.label}</dt><dd class=${one.level} data-fact=${one.id} title=${one.hint}>${one.text}</dd>`)}</dl>`;
}

function Instance({ card, last }) {
  const main = card.facts.filter((one) => !LESS.has(one.id) || one.level === "warn" || one.level === "bad");
  const rest = card.facts.filter((one) => !main.includes(one));
  return html`<section class=${`card instance-card level-${card.level} hue-${card.hue}`} data-instance=${card.name}>
    <h2>${card.url ? html`<a class="instance" href=${card.url} title="Its own pages">${card.name}</a>` : html`<span class="instance">${card.name}</span>`}
      <span class="soft">${card.title}</span><span class="spring"></span>
      ${card.mode === "analyze" && html`<b class="badge paper">Sandbox</b>`}
      <b class=${`state ${card.state_level}`}>${card.state.replaceAll("-", " ")}</b></h2>
    ${card.notes.map((text) => html`<p class="notice warn">${text}</p>`)}
    ${card.running ? html`<${Facts} rows=${main} />
      <details><summary>Process</summary><${Facts} rows=${rest} /></details>` : html`<p class="soft">It does not run.</p>`}
    <p class="doing">${card.running ? html`
      <button type="button" class="plain" onClick=${() => login([card])}>Log in</button>
      <a class="button plain" href=${`/logs?source=${card.name}`}>Logs</a>
      <span class="spring"></span>
      <button type="button" class="plain" onClick=${() => restart(card)}>Restart</button>
      <button type="button" class="plain" onClick=${() => stop(card, last)}>Stop</button>`
      : html`<span class="spring"></span><button type="button" onClick=${() => start(card.name)}>Start</button>`}</p>
  </section>`;
}

function Shared({ one }) {
  return html`<section class=${`card level-${one.level}`} data-service=${one.name}>
    <h2>${one.title}<span class="spring"></span><b class=${`state ${one.state_level}`}>${one.state}</b></h2>
    <${Facts} rows=${one.facts} />${one.notes.map((text) => html`<p class="hint soft">${text}</p>`)}</section>`;
}

function Panic({ word }) {
  return word.active
    ? html`<button type="button" onClick=${resume}>Resume entries</button><button type="button" class="danger" onClick=${panic}>Panic again</button>`
    : html`<button type="button" class="danger" onClick=${panic}>Panic</button>`;
}

/** The contract page of every running instance; a browser may open only the first by itself. */
function Contract({ cards }) {
  const [query, setQuery] = useState("");
  const running = cards.filter((card) => card.running);
  const urls = running.map((card) => ({ name: card.name, hue: card.hue, url: `${card.url}/scalping?${query}` }));
  const given = (event) => {
    const found = new FormData(event.currentTarget);
    setQuery(new URLSearchParams([...found].filter(([, value]) => value)).toString());
  };
  const open = (event) => {
    event.preventDefault();
    const shut = urls.filter(({ url }) => !window.open(url, "_blank"));
    if (shut.length) note(`The browser held back ${shut.map((one) => one.name).join(", ")}: allow pop-ups here, or use the links.`, "warn");
  };
  return html`<section class="card" id="contract"><h2>The same contract on every instance</h2>
    <form onInput=${given} onSubmit=${open} class="row">
      <label>Underlying<input name="underlying" required maxlength="30" placeholder="NIFTY" autocapitalize="characters" /></label>
      <label>Expiry<input name="expiry" maxlength="12" placeholder="26NOV26" autocapitalize="characters" /></label>
      <label>Strike<input name="strike" inputmode="decimal" maxlength="12" placeholder="24000" /></label>
      <label>Type<select name="type"><option value="">–</option><option>CE</option><option>PE</option></select></label>
      <button type="submit" disabled=${!query || !running.length}>Open on every instance</button>
    </form>
    <p class="links">${query && urls.map((one) => html`<a key=${one.name} class=${`hue-${one.hue}`} href=${one.url} target="_blank" rel="noopener">${one.name}</a> `)}</p>
  </section>`;
}

function Events({ events }) {
  return html`<section class="card" id="events"><h2>Events</h2>
    ${events.length ? html`<ol class="events" tabindex="0">${events.slice(0, 30).map((one) => html`<li key=${one.seq}>
      <small class="soft">${when(one.at)}</small> <b>${one.instance}</b> <span class=${one.level}>${one.name}</span> ${one.reason}</li>`)}</ol>`
      : html`<p class="soft">Nothing has happened since the supervisor started.</p>`}</section>`;
}

function Fleet() {
  const found = fleet.value;
  if (!found) return html`<p class="soft">Loading…</p>`;
  const running = found.cards.filter((card) => card.running);
  return html`
    ${found.error && html`<p class="notice bad" role="alert">${found.error}</p>`}
    <div class="head"><strong id="count">${running.length} of ${found.cards.length} running</strong>
      <span class="spring"></span>
      <button type="button" class="plain" disabled=${!running.length} onClick=${() => login(running)}>Log in to all</button>
      <${Panic} word=${found.panic} /></div>
    <div class="fleet">${found.cards.map((card) => html`<${Instance} key=${card.name} card=${card} last=${running.length === 1} />`)}</div>
    <div class="fleet">${found.services.map((one) => html`<${Shared} key=${one.name} one=${one} />`)}
      <section class="card" id="machine"><h2>This machine</h2><${Facts} rows=${found.machine} /></section></div>
    <div class="pair"><${Contract} cards=${found.cards} /><${Events} events=${found.events} /></div>`;
}

mount(html`<${Fleet} />`);
