// What the fleet page can do to instances, each after a question where it cannot be taken back.
import { confirm, note } from "../lib/widgets.js";
import { ApiError, post } from "../lib/api.js";

/** Run it and say how it ended; an ApiError of an open position comes back to the caller. */
async function done(work) {
  try {
    const answer = await work();
    if (answer.lines?.length) note(answer.lines.join(" · "));
    for (const one of answer.instances || []) note(`${one.instance}: ${one.said}`, one.done ? "good" : "bad");
    if (answer.instances && !answer.instances.length) note("Nothing is running; the word counts when an instance starts.", "warn");
    return answer;
  } catch (error) {
    if (error instanceof ApiError && error.code === "STILL_OPEN") throw error;
    note(error.message || "no answer", "bad");
    return undefined;
  }
}

export const start = (name) => done(() => post(`instances/${name}/start`));

const WAYS = {
  "keep it at the broker": { force: true },
  "cancel the orders": { open: "cancel" },
  "cancel, and close the positions": { open: "flatten" },
};

/** Stop or restart; what is open at a live broker is asked about, as `algo down` does. */
async function end(card, verb, last) {
  const what = verb === "stop" ? "Stop" : "Restart";
  const agreed = await confirm({
    title: `${what} ${card.name}?`,
    text: verb === "restart" ? "Its settings are read again. For a few seconds nobody watches its orders."
      : last ? "It is the last one: this page stops with it. Start again with algo up." : "Nobody watches its orders afterwards.",
    yes: what, danger: true,
  });
  if (!agreed) return;
  try {
    await done(() => post(`instances/${card.name}/${verb}`));
  } catch (error) {
    await settle(card, verb, what, error);
  }
}

async function settle(card, verb, what, error) {
  const given = await confirm({
    title: `${card.name} has something open`,
    text: "Nothing was stopped. What is to become of it?",
    list: error.lines,
    fields: [{ name: "way", label: `${what}, and`, options: Object.keys(WAYS), value: Object.keys(WAYS)[0] }],
    yes: what, danger: true,
  });
  if (given) await done(() => post(`instances/${card.name}/${verb}`, WAYS[given.way])).catch((again) => note(again.message, "bad"));
}

export const stop = (card, last) => end(card, "stop", last);
export const restart = (card) => end(card, "restart", false);

/** Log in to one or all; a code is asked for where no seed is stored. */
export async function login(cards) {
  const asking = cards.filter((card) => card.needs_code);
  let given = {};
  if (asking.length) {
    given = await confirm({
      title: "Broker login",
      text: "The code of your authenticator.",
      fields: asking.map((card) => ({ name: card.name, label: card.name, inputmode: "numeric", maxlength: 10, required: false })),
      yes: "Log in",
    });
    if (!given) return;
  }
  await done(() => post("login", { codes: Object.fromEntries(cards.map((card) => [card.name, given[card.name] || ""])) }));
}

const PANIC = { "cancel every open order": "cancel", "leave orders as they are": "block", "cancel all and close every position": "close" };

export async function panic() {
  const given = await confirm({
    title: "Panic: block every instance?",
    text: "New entries are blocked at once, on every instance, until you resume. And then:",
    fields: [{ name: "policy", label: "On every instance", options: Object.keys(PANIC), value: Object.keys(PANIC)[0] }],
    yes: "Panic", danger: true,
  });
  if (given) await done(() => post("panic", { policy: PANIC[given.policy] }));
}

export async function resume() {
  const agreed = await confirm({ title: "Allow new entries everywhere?", text: "Orders can be placed again on every instance.", yes: "Resume" });
  if (agreed) await done(() => post("resume"));
}
