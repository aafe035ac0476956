// The fleet over Server-Sent Events, as signals; stands in for the instances' lib/live.js. A hidden tab lets go
// of its stream (a browser opens six connections to one server), and takes it up again when it is looked at.
import { signal, batch, byId, first } from "./ui.js";

const begun = first();
export const fleet = signal(begun.fleet || null);
export const books = signal(begun.books || { orders: [], positions: [], errors: [] });
export const link = signal("connecting");
/** This machine's clock may be wrong: ages are measured on the server's. */
export const offset = signal(begun.fleet ? begun.fleet.now_ms - Date.now() : 0);
export const now = signal(Date.now() + offset.value);
setInterval(() => { now.value = Date.now() + offset.value; }, 500);

const QUIET_MS = 12000;
let source = null;
let heardAt = 0;

function heard(event) {
  heardAt = Date.now();
  const found = JSON.parse(event.data);
  batch(() => {
    offset.value = found.now_ms - Date.now();
    fleet.value = found;
    link.value = "live";
  });
}

function open() {
  if (source) return;
  source = new EventSource("/web/api/stream");
  source.addEventListener("fleet", heard);
  source.addEventListener("books", (event) => { books.value = JSON.parse(event.data); });
  // the web session ended: the page leads to the sign-in
  source.addEventListener("gone", () => window.location.reload());
  source.onerror = () => {
    link.value = "down";
    // a browser tries again by itself only after a cut, not after an answer it cannot use
    if (source.readyState === EventSource.CLOSED) again();
  };
}

function close() {
  source?.close();
  source = null;
}

async function again() {
  close();
  try {
    const page = await fetch("/", { redirect: "manual", cache: "no-store" });
    if (page.type === "opaqueredirect") {
      window.location.reload();
      return;
    }
  } catch {
    // not there: tried again below
  }
  setTimeout(() => { if (!document.hidden) open(); }, 1000);
}

document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
// a machine that slept may hold a connection that is none
setInterval(() => {
  if (source && link.value === "live" && Date.now() - heardAt > QUIET_MS) {
    link.value = "down";
    close();
    open();
  }
}, 2000);
window.addEventListener("pagehide", close);
byId("link")?.closest("header").querySelector("form.out").addEventListener("submit", close);
if (!document.hidden) open();
