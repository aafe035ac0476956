// Option chain: both sides of every strike around the money, live by ticks; greeks as the gateway computes them.
import { html, mount, first, signal, useEffect, useState } from "../lib/ui.js";
import { now } from "../lib/live.js";
import { STALE_S, ageOf, feedLink, hold, tick, touch } from "../lib/feed.js";
import { call } from "../lib/api.js";
import { ExpiryField, UnderlyingField, nearest, spotOf, useLadder } from "../lib/strikes.js";
import { Age, Tabs, note } from "../lib/widgets.js";
import { compact, known, percent, price, sign, signed } from "../lib/fmt.js";
import "../lib/shell.js";

const begun = first();
const DEPTH = 3; // bid and ask come with it at every broker
const EVERY_MS = 3000;
const GREEKS_S = 10;
const EACH_SIDE = [5, 10, 20, 40];
const SIDE = "chain-side";
const GROUPS = [["price", "Prices"], ["oi", "OI"], ["greek", "IV Δ"], ["more", "Γ Θ V"]];

const usual = begun.underlyings.find((one) => one.underlying === "NIFTY") || begun.underlyings[0];
const asked = signal({ ...(begun.chosen.underlying ? begun.chosen : usual || { underlying: "", exchange: "" }), expiry: begun.chosen.expiry });

function change(next) {
  asked.value = next;
  const words = Object.fromEntries(Object.entries(next).filter(([, value]) => value));
  window.history.replaceState(null, "", `/option-chain?${new URLSearchParams(words)}`);
}

/** The chain as /optionchain has it, asked again every few seconds while somebody looks: greeks move with prices. */
function useChain(ladder, side) {
  const [chain, setChain] = useState(null);
  useEffect(() => {
    if (!ladder) { setChain(null); return undefined; }
    let gone = false, timer = 0, told = "";
    const load = async () => {
      if (document.visibilityState === "visible") {
        try {
          const { underlying, exchange, expiry } = ladder;
          const found = await call("optionchain", { underlying, exchange, expiry_date: expiry, strike_count: side, with_greeks: true });
          if (gone) return;
          told = "";
          setChain(found);
        } catch (error) {
          if (gone) return;
          if (error.message !== told) note(`No chain: ${error.message}`, "bad");
          told = error.message;
        }
      }
      if (!gone) timer = setTimeout(load, EVERY_MS);
    };
    load();
    return () => { gone = true; clearTimeout(timer); };
  }, [ladder, side]);
  return chain;
}

/** Quotes of the strikes that are shown, and of no others. */
function useQuotes(chain, exchange) {
  const names = (chain?.chain || []).flatMap((row) => [row.ce?.symbol, row.pe?.symbol]).filter(Boolean).join(" ");
  useEffect(() => {
    const releases = names ? names.split(" ").map((name) => hold(exchange, name, DEPTH)) : [];
    return () => releases.forEach((release) => release());
  }, [names, exchange]);
}

/** A leg with the newest of tick and answer. */
function live(leg, exchange) {
  if (!leg) return null;
  const data = tick(exchange, leg.symbol, DEPTH).value;
  const ltp = data?.ltp ?? leg.ltp;
  const { bid, ask } = touch(data);
  return {
    ltp, change: data?.change ?? (leg.prev_close ? leg.ltp - leg.prev_close : undefined),
    bid: data ? bid : leg.bid, ask: data ? ask : leg.ask, volume: data?.volume || leg.volume, oi: data?.oi || leg.oi,
    stale: !data || feedLink.value !== "live" || ageOf(data) > STALE_S,
  };
}

const places = (value, count) => (known(value) ? Number(value).toFixed(count) : "–");
const shown = (value) => (value > 0 ? price(value) : "–");
const most = (value) => (value > 0 ? compact(value) : "–");

/** From the outside to the strike; the put's side is its mirror. */
const COLUMNS = [
  ["vega", "Vega", "more", (leg) => places(leg.vega, 2)],
  ["theta", "Theta", "more", (leg) => places(leg.theta, 2)],
  ["gamma", "Gamma", "more", (leg) => places(leg.gamma, 5)],
  ["delta", "Delta", "greek", (leg) => places(leg.delta, 2)],
  ["iv", "IV %", "greek", (leg) => places(leg.implied_volatility, 1)],
  ["volume", "Volume", "oi", (leg, at) => most(at.volume)],
  ["oi", "OI", "oi", (leg, at) => most(at.oi)],
  ["change", "Change", "price", (leg, at) => html`<span class=${sign(at.change)}>${signed(at.change)}</span>`],
  ["bid", "Bid", "price", (leg, at) => shown(at.bid)],
  ["ask", "Ask", "price", (leg, at) => shown(at.ask)],
];

function Leg({ row, kind, exchange, top }) {
  const leg = row[kind];
  const at = live(leg, exchange);
  const columns = kind === "ce" ? COLUMNS : [...COLUMNS].reverse();
  const link = leg && `/scalping?${new URLSearchParams({ exchange, symbol: leg.symbol })}`;
  const last = html`<td class=${`number last ${kind} ${at?.stale ? "stale" : ""}`}>${leg ? html`<a href=${link} title=${`Trade ${leg.symbol}`}>${shown(at.ltp)}</a>` : "–"}</td>`;
  const cells = columns.map(([id, , group, show]) => html`<td class=${`number g-${group} c-${id} ${kind}`}>
    ${id === "oi" && leg && html`<i class="fill" style=${{ width: `${(100 * (at.oi || 0)) / top}%` }}></i>`}<span>${leg ? show(leg, at) : "–"}</span></td>`);
  return kind === "ce" ? [...cells, last] : [last, ...cells];
}

function Strike({ row, exchange, top, atm }) {
  const inside = (kind) => (atm !== null && (kind === "ce" ? row.strike < atm : row.strike > atm) ? `itm-${kind}` : "");
  const open = (event) => {
    const cell = event.target.closest("td");
    const kind = cell?.classList.contains("ce") ? "ce" : cell?.classList.contains("pe") ? "pe" : "";
    if (kind && row[kind] && !event.target.closest("a")) cell.closest("tr").querySelector(`.last.${kind} a`).click();
  };
  return html`<tr class=${`${row.strike === atm ? "atm" : ""} ${inside("ce")} ${inside("pe")}`} data-strike=${row.strike} onClick=${open}>
    <${Leg} row=${row} kind="ce" exchange=${exchange} top=${top} /><th scope="row" class="strike">${price(row.strike).replace(/\.00$/, "")}</th><${Leg} row=${row} kind="pe" exchange=${exchange} top=${top} /></tr>`;
}

/** What the shown strikes say together: straddle at the money, put-call ratios. */
function Sum({ chain, exchange, atm }) {
  const legs = chain.chain.map((row) => ({ strike: row.strike, ce: live(row.ce, exchange), pe: live(row.pe, exchange) }));
  const total = (kind, field) => legs.reduce((sum, row) => sum + (row[kind]?.[field] || 0), 0);
  const ratio = (field) => (total("ce", field) ? (total("pe", field) / total("ce", field)).toFixed(2) : "–");
  const middle = legs.find((row) => row.strike === atm);
  const straddle = middle?.ce?.ltp && middle?.pe?.ltp ? middle.ce.ltp + middle.pe.ltp : null;
  const spot = chain.underlying_ltp;
  return html`<p class="sums" id="sums"><span>Straddle <small>${atm ?? ""}</small> <b id="straddle">${price(straddle)}</b>${straddle && spot ? html` <small class="soft">${((100 * straddle) / spot).toFixed(2)} % of spot</small>` : ""}</span>
    <span>PCR <small>open interest</small> <b id="pcr">${ratio("oi")}</b></span><span>PCR <small>volume</small> <b>${ratio("volume")}</b></span>
    <span>OI calls <b>${compact(total("ce", "oi"))}</b></span><span>OI puts <b>${compact(total("pe", "oi"))}</b></span>
    <span>Forward <b>${price(chain.forward_price)}</b></span><small class="soft">of the ${legs.length} strikes shown</small></p>`;
}

function Chain({ chain, ladder }) {
  const [group, setGroup] = useState("price");
  const { exchange } = ladder;
  useQuotes(chain, exchange);
  const atm = nearest(chain.chain.map((row) => row.strike), spotOf(ladder));
  const top = Math.max(1, ...chain.chain.flatMap((row) => [row.ce, row.pe]).map((leg) => live(leg, exchange)?.oi || 0));
  const heads = COLUMNS.map(([id, title, of]) => html`<th class=${`number g-${of} c-${id}`}>${title}</th>`);
  return html`<${Sum} chain=${chain} exchange=${exchange} atm=${atm} />
    <div class="narrow-only"><${Tabs} label="Columns" tabs=${GROUPS} active=${group} choose=${setGroup} /></div>
    <div class="scroll"><table class="chain" id="chain" data-group=${group}>
      <thead><tr class="sides-of"><th colspan="11">Calls</th><th></th><th colspan="11">Puts</th></tr>
        <tr>${heads}<th class="number"><small class="narrow-only">Calls</small>Last</th><th class="strike">Strike</th><th class="number"><small class="narrow-only">Puts</small>Last</th>${[...heads].reverse()}</tr></thead>
      <tbody>${chain.chain.map((row) => html`<${Strike} key=${row.strike} row=${row} exchange=${exchange} top=${top} atm=${atm} />`)}</tbody></table></div>`;
}

function Page() {
  const [side, setSide] = useState(() => Number(localStorage.getItem(SIDE)) || 10);
  const ladder = useLadder(asked.value, (text) => note(text, "bad"));
  const chain = useChain(ladder, side);
  const spot = spotOf(ladder);
  const more = (event) => { setSide(Number(event.target.value)); localStorage.setItem(SIDE, event.target.value); };
  const ready = chain && ladder && chain.underlying === ladder.underlying && chain.expiry_date === ladder.expiry;
  void now.value; // ages move
  return html`<section class="card">
    <div class="picker" id="picker"><${UnderlyingField} given=${begun.underlyings} value=${asked.value.underlying} choose=${({ underlying, exchange }) => change({ underlying, exchange, expiry: "" })} />
      <${ExpiryField} ladder=${ladder} choose=${(expiry) => change({ ...asked.value, expiry })} />
      <label>Strikes each side<select value=${side} onChange=${more}>${EACH_SIDE.map((one) => html`<option value=${one} selected=${one === side}>${one}</option>`)}</select></label>
      <span class="spring"></span>
      <p class="spot"><b class="huge" id="spot">${price(spot)}</b> ${chain && html`<span class=${sign(spot - chain.underlying_prev_close)}>${signed(spot - chain.underlying_prev_close)} ${percent(chain.underlying_prev_close ? (100 * (spot - chain.underlying_prev_close)) / chain.underlying_prev_close : undefined)}</span>`}
        ${chain && html`<span class="soft"> · greeks <${Age} at=${chain.server_ts * 1000} budget=${GREEKS_S} /></span>`}</p></div>
    ${ready ? html`<${Chain} chain=${chain} ladder=${ladder} />` : html`<p class="soft">${asked.value.underlying ? "Loading…" : "There are no options in the instrument table."}</p>`}
  </section>`;
}

mount(html`<${Page} />`);
