// A page of forms: the frame's own script, and a question before what cannot be taken back.
import "../lib/shell.js";
import { confirm } from "../lib/widgets.js";

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.dataset.ask || form.dataset.sure) return;
  event.preventDefault();
  const agreed = await confirm({ title: form.dataset.ask, yes: form.dataset.yes || "Yes", danger: true });
  if (!agreed) return;
  form.dataset.sure = "yes";
  form.requestSubmit(event.submitter);
});
