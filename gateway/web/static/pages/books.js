// Orders, trades, positions, holdings, and the inbox of unknown orders.
import { html, mount, first, useEffect, useState } from "../lib/ui.js";
import { books, state } from "../lib/live.js";
import { call, get } from "../lib/api.js";
import { Age, Tabs, tried } from "../lib/widgets.js";
import { OrdersTable, TradesTable, Unknown, works } from "./orders.js";
import { HoldingsTable, PositionsTable } from "./positions.js";
import "../lib/shell.js";

const BOOKS_S = 15;
const STATES = [
  ["all", "All", () => true], ["open", "Open", works],
  ["complete", "Complete", (row) => row.order_status === "complete"],
  ["rejected", "Rejected", (row) => row.order_status === "rejected"],
  ["cancelled", "Cancelled", (row) => row.order_status === "cancelled"],
  ["unknown", "Unknown", (row) => row.order_status === "unknown"],
];

/** A book nobody pushes: read when the order book has changed, and every ``every`` seconds. */
function useBook(path, pick, every) {
  const [found, set] = useState({ rows: null });
  const version = books.value.version;
  const mode = state.value?.mode;
  useEffect(() => {
    let gone = false;
    const load = async () => {
      const at = state.value?.now_ms ?? Date.now();
      const answer = await tried(() => call(path));
      if (!gone && answer) set({ rows: pick(answer), at });
    };
    load();
    const timer = setInterval(load, every * 1000);
    return () => { gone = true; clearInterval(timer); };
  }, [version, mode]);
  return found;
}

function Orders({ book }) {
  const [shown, choose] = useState("all");
  const [unknown, setUnknown] = useState([]);
  const count = state.value?.desk.unknown;
  const load = () => get("orders/unknown").then((answer) => setUnknown(answer.orders)).catch(() => {});
  useEffect(() => { load(); }, [count]);
  const rows = book.rows || [];
  const tabs = STATES.map(([id, title, keep]) => [id, title, id === "unknown" ? unknown.length : rows.filter(keep).length]);
  const keep = STATES.find(([id]) => id === shown)[2];
  return html`<${Tabs} label="Orders by state" tabs=${tabs} active=${shown} choose=${choose} />
    ${book.error ? html`<p class="notice bad">${book.error}</p>` : ""}
    ${shown === "unknown" ? html`<${Unknown} rows=${unknown} reload=${load} />` : book.rows && html`<${OrdersTable} key=${shown} rows=${rows.filter(keep)} />`}`;
}

function Trades() {
  const { rows } = useBook("tradebook", (answer) => answer.data, 30);
  return rows ? html`<${TradesTable} rows=${rows} />` : html`<p class="soft">Loading…</p>`;
}

function Holdings() {
  const { rows } = useBook("holdings", (answer) => answer.data.holdings, 30);
  return rows ? html`<${HoldingsTable} rows=${rows} />` : html`<p class="soft">Loading…</p>`;
}

function Books() {
  const [tab, setTab] = useState(first().tab);
  useEffect(() => {
    const back = () => setTab(window.location.pathname.slice(1));
    window.addEventListener("popstate", back);
    return () => window.removeEventListener("popstate", back);
  }, []);
  const choose = (next) => {
    setTab(next);
    window.history.pushState(null, "", `/${next}`);
  };
  const { orders, positions } = books.value;
  const at = { orders: orders.as_of_ms, positions: positions.as_of_ms }[tab];
  return html`<section class="card">
    <div class="head"><${Tabs} label="Books" active=${tab} choose=${choose} tabs=${[
      ["orders", "Orders", orders.rows?.length], ["trades", "Trades"],
      ["positions", "Positions", positions.rows?.length], ["holdings", "Holdings"],
    ]} /><span class="spring"></span>${at && html`<${Age} at=${at} budget=${BOOKS_S} />`}</div>
    ${tab === "orders" && html`<${Orders} book=${orders} />`}
    ${tab === "trades" && html`<${Trades} />`}
    ${tab === "positions" && html`${positions.error && html`<p class="notice bad">${positions.error}</p>`}${positions.rows && html`<${PositionsTable} rows=${positions.rows} />`}`}
    ${tab === "holdings" && html`<${Holdings} />`}
    <p class="hint soft">Keys on a row: ↑ ↓ move, space selects, m modifies, c cancels, x closes a position.</p>
  </section>`;
}

mount(html`<${Books} />`);
