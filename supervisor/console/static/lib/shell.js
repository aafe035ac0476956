// The frame of every page of the fleet: connection, and whether entries are blocked everywhere.
import { byId, effect } from "./ui.js";
import { fleet } from "./live.js";
import "./frame.js";

effect(() => {
  const panic = fleet.value?.panic;
  byId("blocked").hidden = !panic?.active;
  byId("blocked").textContent = panic?.active ? `New entries are blocked on every instance (${panic.reason}).` : "";
});
