// Strategies: what each has done today, who may trade under its name, its webhook, and what waits for a person.
import { html, mount, first, signal, useState } from "../lib/ui.js";
import { books, on } from "../lib/live.js";
import { ask, post } from "../lib/api.js";
import { Age, Card, Facts, Tabs, confirm, note, tried } from "../lib/widgets.js";
import { Table } from "../lib/table.js";
import { OrdersTable } from "./orders.js";
import { Picked, keyOf, usePoll } from "./storekit.js";
import { count, sign, signed, when } from "../lib/fmt.js";
import "../lib/shell.js";

const begun = first();
const EVERY_MS = 3000;
const BUDGET_S = 10;
const heard = signal(0);
for (const event of ["pending_order_created", "pending_order_updated"]) on(event, () => { heard.value += 1; });

const button = (text, press, kind = "plain") => html`<button type="button" class=${kind} onClick=${press}>${text}</button>`;

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    note("The address is in the clipboard.");
  } catch {
    note("The browser does not let this page use the clipboard; select the address instead.", "warn");
  }
}

// approvals ------------------------------------------------------------------------------------------------

function Approvals({ again }) {
  const found = usePoll("approvals", EVERY_MS);
  const mode = found.value?.mode;
  const semi = mode === "semi_auto";
  const decide = async (row, what) => {
    const done = await tried(() => post(`approvals/${row.id}/${what}`));
    if (done) note(`Order ${row.id} is ${done.state}. ${done.answer?.message || done.answer?.orderid || ""}`.trim(), done.state === "failed" ? "bad" : "good");
    found.again();
    again();
  };
  const all = async () => {
    const rows = found.value.orders;
    const agreed = await confirm({ title: `Approve ${rows.length} orders?`, list: rows.map((row) => `${row.request.action} ${row.request.quantity} ${row.request.symbol}`), yes: "Approve them" });
    if (!agreed) return;
    for (const row of rows) await tried(() => post(`approvals/${row.id}/approve`));
    found.again();
    again();
  };
  const turn = async () => {
    await tried(() => post("order-mode", { mode: semi ? "auto" : "semi_auto" }), semi ? "Orders of programs leave at once." : "Orders of programs wait for you.");
    found.again();
  };
  const columns = [
    { id: "order", title: "Order", lead: true, value: (row) => row.request.symbol, cell: (row) => html`${row.request.action} ${row.request.quantity} ${row.request.symbol}<span class="under">${row.request.exchange} ${row.request.pricetype} ${row.request.product} ${Number(row.request.price) ? `at ${row.request.price}` : ""}</span>` },
    { id: "kind", title: "Kind", main: true, value: (row) => row.what, cell: (row) => html`${row.what}${row.mode === "analyze" ? ", sandbox" : ""}` },
    { id: "strategy", title: "Strategy", wide: true, value: (row) => row.strategy },
    { id: "at", title: "Asked", value: (row) => row.at, cell: (row) => html`<${Age} at=${+new Date(row.at)} />` },
  ];
  const rows = found.value?.orders || [];
  return html`<${Card} title="Orders of programs" id="approvals" state=${mode && (semi ? "wait for approval" : "leave at once")} kind=${semi ? "warn" : "good"}>
    ${found.error && html`<p class="notice bad">${found.error}</p>`}
    <div class="head">${mode && button(semi ? "Let them leave at once" : "Ask me first", turn)}<span class="spring"></span>${rows.length > 1 && button("Approve all", all)}</div>
    ${rows.length > 0 ? html`<${Table} id="waiting" name="waiting" columns=${columns} rows=${rows} keyOf=${(row) => String(row.id)} fresh="end" empty="" keys=${{ a: (row) => decide(row, "approve"), r: (row) => decide(row, "reject") }}
      actions=${(row) => html`${button("Approve", () => decide(row, "approve"), "")}${button("Reject", () => decide(row, "reject"))}`} />
      <p class="hint soft">Keys on a row: a approves, r rejects.</p>` : html`<p class="empty">Nothing waits.</p>`}<//>`;
}

// one more strategy ----------------------------------------------------------------------------------------

function Create({ done }) {
  const [picked, setPicked] = useState([]);
  const [intraday, setIntraday] = useState(false);
  const submit = async (event) => {
    event.preventDefault();
    const node = event.currentTarget, form = new FormData(node);
    const quantity = Number(form.get("quantity"));
    const body = {
      name: form.get("name").trim(), platform: form.get("platform"), mode: form.get("mode"),
      symbols: picked.map((one) => ({ ...one, quantity, product: form.get("product") })),
      ...(intraday ? { hours: { start: form.get("start"), end: form.get("end"), square_off: form.get("square_off") } } : {}),
    };
    const made = await tried(() => post("strategies", body), (row) => `${row.name} is made.`);
    if (made) { node.reset(); setPicked([]); setIntraday(false); done(made.name); }
  };
  return html`<${Card} title="New strategy with a webhook" id="create"><form onSubmit=${submit}><div class="row">
      <label>Name<input name="name" required maxlength="64" pattern="[A-Za-z0-9][A-Za-z0-9 _.\\-]*" placeholder="opening range" /></label>
      <label>Alerts from<select name="platform">${begun.platforms.map((one) => html`<option>${one}</option>`)}</select></label>
      <label>May open<select name="mode">${begun.modes.map((one) => html`<option>${one}</option>`)}</select></label>
      <label>Quantity<input name="quantity" type="number" min="1" max="1000000000" defaultValue="1" required /></label>
      <label>Product<select name="product">${begun.products.map((one) => html`<option selected=${one === "MIS"}>${one}</option>`)}</select></label></div>
    <div class="row"><div class="wide"><${Picked} picked=${picked} set=${setPicked} label="Instruments of the strategy" /></div>
      <label class="inline"><input type="checkbox" checked=${intraday} onChange=${(event) => setIntraday(event.target.checked)} /> Intraday, with hours</label>
      ${intraday && html`<label>Entries from<input type="time" name="start" defaultValue="09:20" required /></label><label>to<input type="time" name="end" defaultValue="15:00" required /></label><label>Square off<input type="time" name="square_off" defaultValue="15:15" required /></label>`}
      <button type="submit">Make it</button></div></form><//>`;
}

// all of them ----------------------------------------------------------------------------------------------

const holder = (row) => (row.lease?.state === "held" ? row.lease.holder || row.lease.instance : "");
const COLUMNS = [
  { id: "strategy", title: "Strategy", lead: true, value: (row) => row.strategy, cell: (row) => html`${row.strategy}<span class="under">${row.defined ? `${row.defined.platform}, ${row.defined.mode}, ${row.defined.symbols.length} symbols` : "no webhook"}</span>` },
  { id: "pnl", title: "Result today", number: true, main: true, value: (row) => row.pnl, cell: (row) => html`<b class=${sign(row.pnl)}>${signed(row.pnl)}</b>${row.unpriced > 0 && html`<span class="under warn">${row.unpriced} without a price</span>`}` },
  { id: "orders", title: "Orders", number: true, value: (row) => row.orders, cell: (row) => count(row.orders) },
  { id: "open", title: "Open", number: true, value: (row) => row.open, cell: (row) => count(row.open) },
  { id: "filled", title: "Filled", number: true, value: (row) => row.filled, cell: (row) => count(row.filled) },
  { id: "rejected", title: "Rejected", number: true, value: (row) => row.rejected, cell: (row) => html`<span class=${row.rejected ? "bad" : ""}>${count(row.rejected)}</span>` },
  { id: "lease", title: "Control held by", wide: true, value: holder, cell: (row) => (holder(row) ? html`${holder(row)}<span class="under">epoch ${row.lease.epoch}</span>` : html`<span class="soft">nobody</span>`) },
  { id: "state", title: "State", value: (row) => row.defined?.active, cell: (row) => (row.defined ? html`<b class=${`state ${row.defined.active ? "good" : ""}`}>${row.defined.active ? "on" : "off"}</b>` : html`<span class="soft">program</span>`) },
];

function Detail({ row, limits, close, again }) {
  const { defined, lease } = row;
  const orders = (books.value.orders.rows || []).filter((order) => (order.strategy || "(elsewhere)") === row.strategy);
  const change = async (work, words) => { await tried(work, words); again(); };
  const keys = defined ? defined.symbols : [];
  const mapped = (next) => {
    const added = next.filter((one) => !keys.some((old) => keyOf(old) === keyOf(one)));
    const gone = keys.filter((one) => !next.some((kept) => keyOf(kept) === keyOf(one)));
    const path = `strategies/${encodeURIComponent(defined.name)}/symbols`;
    return change(async () => {
      for (const one of added) await post(path, { ...one, quantity: keys[0]?.quantity || 1, product: keys[0]?.product || "MIS" });
      for (const one of gone) await ask("DELETE", `${path}/${encodeURIComponent(one.symbol)}`);
    });
  };
  const remove = async () => {
    if (!(await confirm({ title: `Delete ${defined.name}?`, text: "Its webhook answers 404 from then on; its orders stay.", yes: "Delete", danger: true }))) return;
    await change(() => ask("DELETE", `strategies/${encodeURIComponent(defined.name)}`), `${defined.name} is deleted.`);
    close();
  };
  const free = async () => {
    if (!(await confirm({ title: `End the lease of ${row.strategy}?`, text: `${holder(row)} cannot open anything more under this name. Its exits still pass.`, yes: "End it", danger: true }))) return;
    await change(() => ask("DELETE", `leases/${encodeURIComponent(row.strategy)}`), "The lease is ended.");
  };
  const each = limits.filter((one) => one.each && one.text !== "no limit");
  return html`<section class="card" id="one-strategy"><div class="head"><h2>${row.strategy}</h2><span class="spring"></span>
      ${defined && button(defined.active ? "Switch off" : "Switch on", () => change(() => post(`strategies/${encodeURIComponent(defined.name)}/switch`, { active: !defined.active }), `${defined.name} is ${defined.active ? "off" : "on"}.`))}
      ${defined && button("Delete", remove)}${button("Close", close)}</div>
    <div class="pair"><div>
      ${defined && html`<h3>Webhook</h3><p><code class="address" id="webhook">${defined.webhook_url}</code> ${button("Copy", () => copied(defined.webhook_url))}</p>
        <p class="hint soft">Whoever knows this address can trade with it.</p>
        <${Facts} rows=${[["Platform", defined.platform], ["May open", defined.mode], ["Hours (IST)", defined.hours ? `${defined.hours.start} to ${defined.hours.end}, square-off ${defined.hours.square_off}` : "any time"]]} />
        <h3>Instruments</h3><${Picked} picked=${keys} set=${mapped} label=${`Add to ${row.strategy}`} />`}
      ${!defined && html`<p class="soft">A program trades under this name with an API key; it has no webhook here.</p>`}
    </div><div>
      <h3>Limits of each strategy</h3>${each.length ? html`<${Facts} rows=${each.map((one) => [one.name, one.text])} />` : html`<p class="soft">None is set. <a href="/settings#risk">Settings</a> says where.</p>`}
      <h3>Control</h3>${lease ? html`<${Facts} rows=${[["State", lease.state], ["Held by", holder(row) || "nobody"], ["Through instance", lease.instance], ["Orders without a lease", { no: "pass", instance: "pass on one instance", lease: "are refused" }[lease.exclusive]],
        ["Epoch", lease.epoch], ["Until", lease.state === "held" ? when(lease.expires_at) : null]]} />${lease.state === "held" && html`<p>${button("End the lease", free)}</p>`}`
      : html`<p class="soft">Nobody ever asked for the sole right to trade under this name.</p>`}
    </div></div>
    <h3>Orders of today</h3>${orders.length ? html`<${OrdersTable} rows=${orders} name=${`orders of ${row.strategy}`} />` : html`<p class="empty">None.</p>`}</section>`;
}

function Strategies() {
  void heard.value;
  const [open, setOpen] = useState(null);
  const [making, setMaking] = useState(false);
  const [overview, set] = useState(begun.overview);
  const found = usePoll("strategies/overview", EVERY_MS, (answer) => { set(answer); return answer; });
  const rows = overview.strategies;
  const one = rows.find((row) => row.strategy === open);
  const made = async (name) => { setMaking(false); await found.again(); setOpen(name); };
  return html`<${Approvals} again=${found.again} />
    ${making && html`<${Create} done=${made} />`}
    <${Card} title="Strategies" id="all" at=${overview.now_ms} budget=${BUDGET_S}>
      ${(found.error || overview.problem) && html`<p class="notice bad">${found.error || overview.problem}</p>`}
      <${Table} id="strategies" name="strategies" columns=${COLUMNS} rows=${rows} keyOf=${(row) => row.strategy} fresh="end" keys=${{ Enter: (row) => setOpen(row.strategy) }}
        empty="No strategy has traded today, and none has a webhook." tools=${button(making ? "Do not make one" : "New strategy", () => setMaking(!making))}
        rowClass=${(row) => (row.strategy === open ? "chosen" : "")} actions=${(row) => button("Open", () => setOpen(row.strategy))} />
      <p class="hint soft">The result is of today's own fills at the last price, before charges. “(elsewhere)”: orders not placed through this gateway.</p><//>
    ${one && html`<${Detail} key=${open} row=${one} limits=${overview.limits} close=${() => setOpen(null)} again=${found.again} />`}`;
}

mount(html`<${Strategies} />`);
