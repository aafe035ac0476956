// Find an instrument as you type, over the whole table; arrows and Enter choose.
import { html, useEffect, useRef, useState } from "./ui.js";
import { get } from "./api.js";
import { note } from "./widgets.js";

const REST_MS = 60;

/** ``add(row)``: what was chosen. */
export function Finder({ add, placeholder = "Add: SBIN, NIFTY 25000 CE, a token …" }) {
  const [text, setText] = useState("");
  const [found, setFound] = useState([]);
  const [at, setAt] = useState(0);
  const asked = useRef(0);
  useEffect(() => {
    const mine = ++asked.current;
    if (!text.trim()) { setFound([]); return; }
    const timer = setTimeout(async () => {
      try {
        const answer = await get(`search?q=${encodeURIComponent(text)}`);
        if (mine === asked.current) { setFound(answer.data); setAt(0); }
      } catch (error) { note(error.message, "bad"); }
    }, REST_MS);
    return () => clearTimeout(timer);
  }, [text]);
  const take = (row) => { add(row); setText(""); };
  const press = (event) => {
    if (event.key === "ArrowDown") setAt(Math.min(found.length - 1, at + 1));
    else if (event.key === "ArrowUp") setAt(Math.max(0, at - 1));
    else if (event.key === "Enter" && found[at]) take(found[at]);
    else if (event.key === "Escape") setText("");
    else return;
    event.preventDefault();
  };
  return html`<div class="finder">
    <input type="search" role="combobox" aria-label="Find an instrument" aria-expanded=${found.length > 0} aria-controls="found"
      aria-activedescendant=${found.length ? `found-${at}` : undefined} placeholder=${placeholder} autocomplete="off"
      value=${text} onInput=${(event) => setText(event.target.value)} onKeyDown=${press} onBlur=${() => setTimeout(() => setFound([]), 200)} />
    ${found.length > 0 && html`<ul id="found" class="found" role="listbox" aria-label="Found instruments">${found.map((row, place) => html`<li role="option" id=${`found-${place}`} aria-selected=${place === at}
      onMouseDown=${(event) => { event.preventDefault(); take(row); }}><b>${row.symbol}</b><small>${row.exchange} ${row.name}</small><span class="spring"></span><small>${row.expiry}</small></li>`)}</ul>`}
  </div>`;
}
