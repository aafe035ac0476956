// The frame of every page: connection, sandbox frame, what blocks orders. Import it once per page.
import { byId, effect } from "./ui.js";
import { state } from "./live.js";
import "./frame.js";

effect(() => {
  const found = state.value;
  if (!found) return;
  const paper = found.mode === "analyze";
  document.body.classList.toggle("paper", paper);
  byId("paper-badge").hidden = !paper;
  const parts = [];
  const { desk } = found;
  if (desk.blocked) parts.push(`New entries are blocked: ${desk.blocked}. Allow them with: algo panic --resume`);
  if (desk.unknown) parts.push(`Orders whose outcome is not known: ${desk.unknown}. Do not send them again; see Orders.`);
  if (found.waiting) parts.push(`Orders waiting for your approval: ${found.waiting}. See Strategies.`);
  byId("blocked").hidden = parts.length === 0;
  byId("blocked").textContent = parts.join(" ");
});
