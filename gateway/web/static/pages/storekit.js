// What the parts of the market-data page share.
import { html, useEffect, useRef, useState } from "../lib/ui.js";
import { get } from "../lib/api.js";
import { Finder } from "../lib/finder.js";
import { note } from "../lib/widgets.js";

export const EVERY_MS = 2000;
export const seriesKey = (row) => `${row.exchange}:${row.symbol}:${row.interval}`;
export const keyOf = (one) => `${one.exchange}:${one.symbol}`;
export const query = (values) => new URLSearchParams(Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined)).toString();
export const daysAgo = (today, days) => new Date(Date.parse(today) - days * 86_400_000).toISOString().slice(0, 10);

export function bytes(number) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  for (; number >= 1000 && at < units.length - 1; at++) number /= 1000;
  return `${at && number < 100 ? number.toFixed(1) : Math.round(number)} ${units[at]}`;
}

/** Ask again every ``every`` ms while the tab is looked at. ``{value, error, again}``; the last value stays. */
export function usePoll(path, every, pick = (answer) => answer) {
  const [found, set] = useState({ value: null, error: "" });
  const again = useRef(() => {});
  useEffect(() => {
    let gone = false, asking = false;
    const load = async () => {
      if (asking || document.hidden || !path) return;
      asking = true;
      try {
        const value = pick(await get(path));
        if (!gone) set({ value, error: "" });
      } catch (error) {
        if (!gone) set((old) => ({ ...old, error: error.message }));
      }
      asking = false;
    };
    again.current = load;
    load();
    const timer = setInterval(load, every);
    document.addEventListener("visibilitychange", load);
    return () => { gone = true; clearInterval(timer); document.removeEventListener("visibilitychange", load); };
  }, [path, every]);
  return { ...found, again: () => again.current() };
}

/** Instruments somebody puts together: found by typing, taken off again. */
export function Picked({ picked, set, label }) {
  const add = (row) => {
    if (picked.some((one) => keyOf(one) === keyOf(row))) return note(`${row.symbol} is there already`, "warn");
    return set([...picked, { exchange: row.exchange, symbol: row.symbol }]);
  };
  return html`<div class="picked"><${Finder} add=${add} label=${label} placeholder="Find: SBIN, NIFTY 25000 CE …" />
    ${picked.length > 0 && html`<ul class="chips">${picked.map((one) => html`<li key=${keyOf(one)}>${one.symbol} <small class="soft">${one.exchange}</small>
      <button type="button" class="plain" aria-label=${`Take ${one.symbol} off`} onClick=${() => set(picked.filter((each) => each !== one))}>×</button></li>`)}</ul>`}</div>`;
}
