// What moves in the frame of every page: whether it is connected, and the navigation on a phone. ``link``: the signal of the page's own lib/live.js.
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

// on a phone the navigation is longer than the screen: show where one is
const here = document.querySelector("nav[aria-label=Pages] a[aria-current]");
if (here) here.parentElement.scrollLeft = here.offsetLeft - here.parentElement.offsetLeft - (here.parentElement.clientWidth - here.offsetWidth) / 2;
