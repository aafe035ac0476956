// The one place that knows the vendored libraries: pages import from here.
export { h, render, Fragment, createContext } from "../vendor/preact.js";
export { useState, useEffect, useRef, useMemo, useCallback, useLayoutEffect } from "../vendor/preact-hooks.js";
export { signal, computed, effect, batch, untracked, useSignal, useComputed, useSignalEffect } from "../vendor/signals.js";
import { h, render } from "../vendor/preact.js";
import htm from "../vendor/htm.js";

export const html = htm.bind(h);
export const byId = (id) => document.getElementById(id);

/** Put a page in place of what the server drew for it. */
export function mount(node, id = "app") {
  byId(id).replaceChildren();
  render(node, byId(id));
}

/** What the server knew when it made the page. */
export function first() {
  const node = byId("first");
  return node ? JSON.parse(node.textContent) : {};
}
