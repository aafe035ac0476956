// A colour of the design system as a plain rgb(): what draws on a canvas cannot read light-dark().
export function painted(name) {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

/** The same with an opacity of 0 to 1. */
export const faint = (name, part) => painted(name).replace(/^rgb\((.*)\)$/, `rgba($1, ${part})`);

/** Call it when the system's colours change; the answer stops that. */
export function onScheme(handler) {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", handler);
  return () => dark.removeEventListener("change", handler);
}
