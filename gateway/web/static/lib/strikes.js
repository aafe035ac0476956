// Which contract: underlying, expiry, strike, call or put. The strike at the money is marked and follows the price.
import { html, useEffect, useState } from "./ui.js";
import { get } from "./api.js";
import { hold, tick } from "./feed.js";
import { Tabs } from "./widgets.js";
import { price } from "./fmt.js";

/** ``given``: [{underlying, exchange}]; ``choose`` gets one of them. Typing narrows the list. */
export function UnderlyingField({ given, value, choose }) {
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  const take = (event) => {
    const [root, place] = event.target.value.trim().toUpperCase().split(" ");
    const found = given.find((one) => one.underlying === root && (!place || one.exchange === place));
    if (found) choose(found);
    else setText(value);
  };
  // a whole name was chosen from the list: nothing more to type
  const typed = (event) => {
    setText(event.target.value);
    if (event.inputType === "insertReplacementText" || event.inputType === undefined) take(event);
  };
  return html`<label>Underlying<input list="underlyings" autocomplete="off" spellcheck=${false} value=${text} onInput=${typed} onChange=${take}
      onFocus=${(event) => event.target.select()} />
    <datalist id="underlyings">${given.map((one) => html`<option value=${given.filter((other) => other.underlying === one.underlying).length > 1 ? `${one.underlying} ${one.exchange}` : one.underlying} />`)}</datalist></label>`;
}

/** ``ladder``: what /web/api/ladder says of an expiry; loaded anew when the words change. */
export function useLadder({ underlying, exchange, expiry }, failed) {
  const [ladder, setLadder] = useState(null);
  useEffect(() => {
    if (!underlying) { setLadder(null); return undefined; }
    let gone = false;
    const query = new URLSearchParams({ underlying, exchange, expiry });
    get(`ladder?${query}`).then((found) => { if (!gone) setLadder(found); }, (error) => { if (!gone) { setLadder(null); failed(error.message); } });
    return () => { gone = true; };
  }, [underlying, exchange, expiry]);
  useEffect(() => (ladder ? hold(ladder.spot.exchange, ladder.spot.symbol, 1) : undefined), [ladder?.spot.exchange, ladder?.spot.symbol]);
  return ladder;
}

/** The price of the underlying: of its last tick, else of the answer. */
export const spotOf = (ladder) => (ladder ? tick(ladder.spot.exchange, ladder.spot.symbol, 1).value?.ltp ?? ladder.ltp : null);

export function nearest(strikes, spot) {
  if (!spot || !strikes.length) return null;
  return strikes.reduce((best, one) => (Math.abs(one - spot) < Math.abs(best - spot) ? one : best));
}

export function ExpiryField({ ladder, choose }) {
  return html`<label>Expiry<select value=${ladder?.expiry} disabled=${!ladder} onChange=${(event) => choose(event.target.value)}>
    ${(ladder?.expiries || []).map((one) => html`<option value=${one} selected=${one === ladder.expiry}>${one}</option>`)}</select></label>`;
}

/** ``chosen``: {underlying, exchange, expiry, kind, symbol}; ``change(words)``; ``open(exchange, symbol)``. */
export function StrikePicker({ given, chosen, change, open, failed }) {
  const ladder = useLadder(chosen, failed);
  const strikes = ladder?.strikes || [];
  const atm = nearest(strikes.map((one) => one.strike), spotOf(ladder));
  const mine = strikes.find((one) => one.CE === chosen.symbol || one.PE === chosen.symbol);
  const take = (row, kind = chosen.kind) => {
    if (!row) return;
    if (row[kind]) open(ladder.exchange, row[kind]);
    else failed(`There is no ${kind} at ${row.strike}.`);
  };
  const near = () => mine || strikes.find((one) => one.strike === atm) || strikes[Math.floor(strikes.length / 2)];
  const step = (by) => take(strikes[strikes.indexOf(near()) + by]);
  const again = (kind) => { change({ ...chosen, kind }); take(near(), kind); };
  // another expiry or underlying: the same strike there, else the one at the money
  useEffect(() => {
    if (!ladder || !chosen.jump || ladder.underlying !== chosen.underlying || (chosen.expiry && ladder.expiry !== chosen.expiry)) return;
    change({ ...chosen, expiry: ladder.expiry, jump: undefined });
    take(strikes.find((one) => one.strike === chosen.jump.strike) || near());
  }, [ladder, chosen.jump]);
  return html`<div class="picker" id="picker">
    <${UnderlyingField} given=${given} value=${chosen.underlying} choose=${({ underlying, exchange }) => change({ ...chosen, underlying, exchange, expiry: "", jump: {} })} />
    <${ExpiryField} ladder=${ladder} choose=${(expiry) => change({ ...chosen, expiry, jump: { strike: mine?.strike } })} />
    <label>Strike<select value=${mine ? mine.strike : ""} disabled=${!strikes.length} onChange=${(event) => take(strikes.find((one) => String(one.strike) === event.target.value))}>
      ${!mine && html`<option value="">choose</option>`}
      ${strikes.map((one) => html`<option value=${one.strike} selected=${one === mine}>${price(one.strike).replace(/\.00$/, "")}${one.strike === atm ? " · ATM" : ""}</option>`)}</select></label>
    <span class="steps-by"><button type="button" class="plain" aria-label="One strike down" disabled=${!strikes.length} onClick=${() => step(-1)}>−</button>
      <button type="button" class="plain" disabled=${!atm} onClick=${() => take(strikes.find((one) => one.strike === atm))}>ATM</button>
      <button type="button" class="plain" aria-label="One strike up" disabled=${!strikes.length} onClick=${() => step(1)}>+</button></span>
    <${Tabs} label="Call or put" tabs=${[["CE", "CE"], ["PE", "PE"]]} active=${chosen.kind} choose=${again} />
  </div>`;
}
