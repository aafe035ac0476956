// Whether the page is connected, in its frame. ``link``: the signal of the page's own lib/live.js.
import { byId, effect } from "./ui.js";
import { link } from "./live.js";

const WORDS = { live: "live", down: "no connection", connecting: "connecting" };

effect(() => {
  const node = byId("link");
  node.textContent = WORDS[link.value];
  node.classList.toggle("good", link.value === "live");
  node.classList.toggle("bad", link.value === "down");
  byId("offline").hidden = link.value !== "down";
  document.body.classList.toggle("old", link.value === "down");
});
