// State and books of the instance over Socket.IO, as signals. Importing it connects; every page's frame does.
import { io } from "../vendor/socket.io.js";
import { signal, batch, byId, first } from "./ui.js";

const begun = first();
export const state = signal(begun.state || null);
export const books = signal(begun.books || { orders: {}, positions: {}, funds: {}, version: 0 });
export const link = signal("connecting");
/** This machine's clock may be wrong: ages are measured on the server's. */
export const offset = signal(begun.state ? begun.state.now_ms - Date.now() : 0);
/** Server time, moves twice a second: what shows an age reads it. */
export const now = signal(Date.now() + offset.value);
setInterval(() => { now.value = Date.now() + offset.value; }, 500);

const heard = {};
/** Other events (pending_order_created, ...): ``on("name", handler)``. */
export function on(event, handler) {
  (heard[event] ||= []).push(handler);
  socket.on(event, handler);
}

export const socket = io({ transports: ["websocket", "polling"] });

socket.on("state", (found) => batch(() => {
  offset.value = found.now_ms - Date.now();
  state.value = found;
  link.value = "live";
}));
socket.on("books", (found) => {
  // a book that could not be read is not an empty one: the last rows stay, with their age and the reason
  for (const name of ["orders", "positions", "funds"]) {
    const { rows, row, as_of_ms } = books.value[name];
    if (found[name].error && (rows || row) && found.mode === books.value.mode) found[name] = { ...found[name], rows, row, as_of_ms };
  }
  books.value = found;
});
socket.on("books_as_of", (times) => {
  const next = { ...books.value };
  for (const [name, at] of Object.entries(times)) {
    if (!next[name].error) next[name] = { ...next[name], as_of_ms: at };
  }
  books.value = next;
});
socket.on("order_update", (row) => {
  const rows = books.value.orders.rows || [];
  const at = rows.findIndex((one) => one.orderid === row.orderid);
  const next = at < 0 ? [...rows, row] : rows.with(at, { ...rows[at], ...row, strategy: row.strategy || rows[at].strategy });
  books.value = { ...books.value, orders: { ...books.value.orders, rows: next } };
});
socket.on("disconnect", (why) => {
  link.value = "down";
  // the server ends a connection only with its web session: ask for the page again, which leads to the sign-in
  if (why === "io server disconnect") window.location.reload();
});
socket.on("connect_error", async () => {
  link.value = "down";
  try {
    // the instance is there and the web session is not: the page leads to the sign-in
    const page = await fetch("/", { redirect: "manual", cache: "no-store" });
    if (page.type === "opaqueredirect") window.location.reload();
  } catch {
    // not there either: Socket.IO goes on trying
  }
});
// signing out also closes this socket, and the reload above would cancel the form on its way
byId("link")?.closest("header").querySelector("form.out").addEventListener("submit", () => socket.disconnect());
