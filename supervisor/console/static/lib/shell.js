// The frame of every page of the fleet: connection, and whether entries are blocked everywhere.
import { byId, effect } from "./ui.js";
import { fleet, link } from "./live.js";

const WORDS = { live: "live", down: "no connection", connecting: "connecting" };

effect(() => {
  const node = byId("link");
  node.textContent = WORDS[link.value];
  node.classList.toggle("good", link.value === "live");
  node.classList.toggle("bad", link.value === "down");
  byId("offline").hidden = link.value !== "down";
  document.body.classList.toggle("old", link.value === "down");
});

effect(() => {
  const panic = fleet.value?.panic;
  byId("blocked").hidden = !panic?.active;
  byId("blocked").textContent = panic?.active ? `New entries are blocked on every instance (${panic.reason}).` : "";
});
