// One component per idea: ages, cards of facts, tabs, confirmations, notes that go away.
import { html, render, signal, useEffect, useRef } from "./ui.js";
import { now } from "./live.js";
import { span, known } from "./fmt.js";

/** How old a number is; red past its budget. ``at``: server milliseconds. */
export function Age({ at, budget, prefix = "" }) {
  if (!known(at)) return html`<small class="age">not known</small>`;
  const seconds = Math.max(0, (now.value - at) / 1000);
  const late = budget !== undefined && seconds > budget;
  return html`<small class=${late ? "age bad" : "age"} title=${late ? `older than its ${budget} s` : ""}>${prefix}${span(seconds)} ago</small>`;
}

/** A card: title, state pill, age, and what it says. */
export function Card({ title, state, kind, at, budget, broad, children, id }) {
  return html`<section class=${broad ? "card broad" : "card"} id=${id}>
    <h2>${title} ${state && html`<b class=${`state ${kind || ""}`}>${state}</b>`}
      ${at !== undefined && html`<span class="spring"></span><${Age} at=${at} budget=${budget} />`}</h2>
    ${children}
  </section>`;
}

/** Names and values: ``[[name, value, className, title]]``; rows without a value are left out. */
export function Facts({ rows }) {
  return html`<dl>${rows.filter((row) => row && known(row[1]) && row[1] !== false).map(
    ([name, value, kind, title]) => html`<dt>${name}</dt><dd class=${kind || ""} title=${title || ""}>${value}</dd>`)}</dl>`;
}

/** ``tabs``: [[id, title, number]]. Arrow keys move. */
export function Tabs({ tabs, active, choose, label }) {
  const move = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = tabs.findIndex(([id]) => id === active);
    const next = tabs[(at + step + tabs.length) % tabs.length][0];
    choose(next);
    event.currentTarget.querySelector(`[data-tab="${next}"]`)?.focus();
    event.preventDefault();
  };
  return html`<div class="tabs" role="tablist" aria-label=${label} onKeyDown=${move}>
    ${tabs.map(([id, title, number]) => html`<button type="button" role="tab" data-tab=${id}
      aria-selected=${id === active} tabindex=${id === active ? 0 : -1} onClick=${() => choose(id)}>
      ${title}${known(number) && html` <small>${number}</small>`}</button>`)}
  </div>`;
}

// one dialog and one list of notes for the whole page ------------------------------------------------------

const asked = signal(null);
const notes = signal([]);
let serial = 0;

/** Ask before something is done. ``confirm({title, text, yes, danger, fields})`` -> values, or null. */
export function confirm(question) {
  return new Promise((answer) => { asked.value = { ...question, answer }; });
}

/** Say something that goes away; ``kind``: good, bad, warn. Errors stay until they are closed. */
export function note(text, kind = "good") {
  const id = ++serial;
  notes.value = [...notes.value, { id, text, kind }];
  if (kind === "good") setTimeout(() => drop(id), 5000);
}
const drop = (id) => { notes.value = notes.value.filter((one) => one.id !== id); };

/** Run it; what goes wrong is said. ``done``: words for when it worked. */
export async function tried(work, done) {
  try {
    const answer = await work();
    if (done) note(typeof done === "function" ? done(answer) : done);
    return answer;
  } catch (error) {
    note(error.next ? `${error.message} ${error.next}` : error.message || "no answer", "bad");
    return undefined;
  }
}

function Dialog() {
  const question = asked.value;
  const box = useRef(null);
  useEffect(() => {
    if (question && box.current && !box.current.open) box.current.showModal();
  }, [question]);
  if (!question) return null;
  const end = (value) => {
    asked.value = null;
    question.answer(value);
  };
  const submit = (event) => {
    event.preventDefault();
    end(Object.fromEntries(new FormData(event.currentTarget)));
  };
  return html`<dialog ref=${box} aria-labelledby="asked" onCancel=${(event) => { event.preventDefault(); end(null); }}>
    <form onSubmit=${submit}>
      <h2 id="asked">${question.title}</h2>
      ${question.text && html`<p>${question.text}</p>`}
      ${question.list && html`<ul>${question.list.slice(0, 12).map((text) => html`<li>${text}</li>`)}
        ${question.list.length > 12 && html`<li>and ${question.list.length - 12} more</li>`}</ul>`}
      ${(question.fields || []).map((field) => html`<label>${field.label}
        ${field.options
          ? html`<select name=${field.name} value=${field.value}>${field.options.map((one) => html`<option value=${one} selected=${one === field.value}>${one}</option>`)}</select>`
          : html`<input name=${field.name} defaultValue=${field.value} type=${field.type || "text"} inputmode=${field.inputmode} step=${field.step}
              required=${field.required !== false} maxlength=${field.maxlength} autocomplete="off" />`}</label>`)}
      <menu><button type="button" class="plain" onClick=${() => end(null)}>${question.no || "Cancel"}</button>
        <button type="submit" class=${question.danger ? "danger" : ""} autofocus>${question.yes || "Yes"}</button></menu>
    </form>
  </dialog>`;
}

function Notes() {
  return html`<div class="notes" role="status" aria-live="polite">${notes.value.map((one) => html`<div key=${one.id} class=${`note ${one.kind}`}>
    <span>${one.text}</span><button type="button" class="plain" aria-label="Close" onClick=${() => drop(one.id)}>×</button></div>`)}</div>`;
}

const place = document.createElement("div");
place.id = "over";
document.body.append(place);
render(html`<${Dialog} /><${Notes} />`, place);
