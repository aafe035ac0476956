// The one table: filter, sort, sum row, selection, keyboard, CSV; long ones draw only what is in view.
//
// Order is stable: it is worked out when somebody sorts or filters, not when a number moves. New rows come on
// top (``fresh: "top"``) or at the end. A column: {id, title, value(row), cell(row), number, sum(rows), lead,
// main, wide, csv(row)}; ``value`` is what sorting and CSV use, ``cell`` what is drawn.
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./ui.js";

const WINDOW_FROM = 120;
const SPARE = 12;

export function Table({ columns, rows, id, keyOf, name, empty, fresh = "top", select, selected, actions, keys = {}, tools, rowClass, sortBy }) {
  const [sort, setSort] = useState(sortBy || null);
  const [text, setText] = useState("");
  const [focus, setFocus] = useState(null);
  const order = useRef({ spec: "", ids: [] });
  const body = useRef(null);
  const shown = ordered(order.current, rows, keyOf, columns, sort, text, fresh);
  const view = useWindow(body, shown.length);
  const drawn = view ? shown.slice(view.from, view.to) : shown;
  const across = columns.length + (select ? 1 : 0) + (actions ? 1 : 0);

  const sorted = (column) => setSort((now) => (now?.id !== column.id ? { id: column.id, down: !!column.number }
    : now.down === !!column.number ? { id: column.id, down: !column.number } : null));
  const press = (event) => {
    const row = event.target.closest("tr[data-key]");
    if (!row || event.target.closest("input,select,button") && event.key !== "Escape" && !event.key.startsWith("Arrow")) return;
    const at = shown.findIndex((one) => keyOf(one) === row.dataset.key);
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 15, PageUp: -15, Home: -1e9, End: 1e9 }[event.key];
    if (step !== undefined) {
      const next = shown[Math.max(0, Math.min(shown.length - 1, at + step))];
      setFocus(keyOf(next));
      view?.reveal(shown.indexOf(next));
      event.preventDefault();
    } else if (event.key === " " && select) {
      select(toggled(selected, row.dataset.key));
      event.preventDefault();
    } else if (keys[event.key] && !event.ctrlKey && !event.metaKey && !event.altKey) {
      keys[event.key](shown[at]);
      event.preventDefault();
    }
  };
  useEffect(() => {
    if (focus !== null) body.current?.querySelector(`tr[data-key="${CSS.escape(focus)}"]`)?.focus({ preventScroll: !!view });
  }, [focus]);

  const all = select && shown.length > 0 && shown.every((row) => selected.has(keyOf(row)));
  return html`<div class="table" id=${id}>
    <div class="tools">
      <input type="search" placeholder="Filter" aria-label=${`Filter ${name}`} value=${text} onInput=${(event) => setText(event.target.value)} />
      ${tools}
      <span class="spring"></span>
      <small class="soft">${shown.length === rows.length ? rows.length : `${shown.length} of ${rows.length}`}</small>
      <button type="button" class="plain" onClick=${() => download(`${name}.csv`, csv(columns, shown))}>CSV</button>
    </div>
    <div class=${view ? "scroll windowed" : "scroll"} onScroll=${view?.moved} ref=${view?.box}>
      <table>
        <thead><tr>
          ${select && html`<th class="tick"><input type="checkbox" aria-label="Select all" checked=${all}
            onChange=${() => select(all ? new Set() : new Set(shown.map(keyOf)))} /></th>`}
          ${columns.map((column) => html`<th class=${column.number ? "number" : ""} aria-sort=${sort?.id === column.id ? (sort.down ? "descending" : "ascending") : "none"}>
            <button type="button" class="sort" onClick=${() => sorted(column)}>${column.title}${sort?.id === column.id ? (sort.down ? " ↓" : " ↑") : ""}</button></th>`)}
          ${actions && html`<th><span class="unseen">Actions</span></th>`}
        </tr></thead>
        <tbody ref=${body} onKeyDown=${press} data-count=${shown.length}>
          ${view && view.above > 0 && html`<tr class="room" style=${{ height: `${view.above}px` }}><td colspan=${across}></td></tr>`}
          ${drawn.map((row, at) => {
            const key = keyOf(row);
            return html`<tr key=${key} data-key=${key} class=${rowClass ? rowClass(row) : ""}
              tabindex=${focus === key || (focus === null && at === 0) ? 0 : -1} onFocus=${() => setFocus(key)}>
              ${select && html`<td class="tick"><input type="checkbox" aria-label="Select" checked=${selected.has(key)} onChange=${() => select(toggled(selected, key))} /></td>`}
              ${columns.map((column) => html`<td class=${classes(column)} data-label=${column.lead || column.main ? undefined : column.title}>${column.cell ? column.cell(row) : column.value(row)}</td>`)}
              ${actions && html`<td class="actions">${actions(row)}</td>`}
            </tr>`;
          })}
          ${view && view.below > 0 && html`<tr class="room" style=${{ height: `${view.below}px` }}><td colspan=${across}></td></tr>`}
          ${shown.length === 0 && html`<tr><td class="empty" colspan=${across}>${rows.length ? "Nothing matches the filter." : empty}</td></tr>`}
        </tbody>
        ${shown.length > 0 && columns.some((column) => column.sum) && html`<tfoot><tr>
          ${select && html`<td class="tick"></td>`}
          ${columns.map((column, at) => html`<td class=${classes(column)} data-label=${column.sum ? column.title : undefined}>${column.sum ? column.sum(shown) : at === 0 ? "Sum" : ""}</td>`)}
          ${actions && html`<td class="actions"></td>`}
        </tr></tfoot>`}
      </table>
    </div>
  </div>`;
}

const classes = (column) => [column.number && "number", column.lead && "lead", column.main && "main", column.wide && "wide"].filter(Boolean).join(" ");

function toggled(set, key) {
  const next = new Set(set);
  if (!next.delete(key)) next.add(key);
  return next;
}

/** Rows in the kept order; the order itself is made anew when sort, filter or columns change. */
function ordered(kept, rows, keyOf, columns, sort, text, fresh) {
  const words = text.trim().toUpperCase().split(/\s+/).filter(Boolean);
  const spec = `${sort?.id}|${sort?.down}`;
  const byKey = new Map(rows.map((row) => [keyOf(row), row]));
  if (kept.spec !== spec) {
    const column = columns.find((one) => one.id === sort?.id);
    const found = [...rows];
    if (column) found.sort((a, b) => compare(column.value(a), column.value(b)) * (sort.down ? -1 : 1));
    kept.spec = spec;
    kept.ids = found.map(keyOf);
  } else {
    const known = new Set(kept.ids);
    const added = [...byKey.keys()].filter((key) => !known.has(key));
    const held = kept.ids.filter((key) => byKey.has(key));
    kept.ids = fresh === "top" ? [...added.reverse(), ...held] : [...held, ...added];
  }
  const inOrder = kept.ids.map((key) => byKey.get(key));
  if (!words.length) return inOrder;
  return inOrder.filter((row) => {
    const line = columns.map((column) => plain(column, row)).join(" ").toUpperCase();
    return words.every((word) => line.includes(word));
  });
}

function compare(a, b) {
  if (a === b) return 0;
  if (a === null || a === undefined) return -1;
  if (b === null || b === undefined) return 1;
  return a < b ? -1 : 1;
}

/** Rows in view of a long table; null for a short one. */
function useWindow(body, total) {
  const box = useRef(null);
  const height = useRef(36);
  const [top, setTop] = useState(0);
  const long = total > WINDOW_FROM;
  useLayoutEffect(() => {
    const row = body.current?.querySelector("tr[data-key]");
    if (long && row && Math.abs(row.offsetHeight - height.current) > 1) {
      height.current = row.offsetHeight;
      setTop((now) => now + 0.001); // draw again with the height as it is here
    }
  });
  return useMemo(() => {
    if (!long) return null;
    const seen = Math.ceil((box.current?.clientHeight || 700) / height.current);
    const from = Math.max(0, Math.floor(top / height.current) - SPARE);
    const to = Math.min(total, from + seen + 2 * SPARE);
    const step = height.current * SPARE / 2;
    return {
      box, from, to,
      above: from * height.current,
      below: (total - to) * height.current,
      moved: (event) => {
        const at = event.currentTarget.scrollTop;
        if (Math.abs(at - top) > step || at === 0) setTop(at);
      },
      reveal: (at) => {
        const want = at * height.current, have = box.current;
        if (have && (want < have.scrollTop || want > have.scrollTop + have.clientHeight - 3 * height.current)) {
          have.scrollTop = Math.max(0, want - have.clientHeight / 2);
          setTop(have.scrollTop);
        }
      },
    };
  }, [long, total, top, height.current]);
}

const plain = (column, row) => {
  const value = column.csv ? column.csv(row) : column.value(row);
  return value === null || value === undefined ? "" : String(value);
};

function csv(columns, rows) {
  // a cell that begins like a formula would be run by a spreadsheet
  const safe = (text) => (/^[=+@\t\r]|^-(?![\d.])/.test(text) ? `'${text}` : text);
  const quoted = (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const lines = [columns.map((column) => column.title), ...rows.map((row) => columns.map((column) => plain(column, row)))];
  return lines.map((cells) => cells.map((cell) => quoted(safe(cell))).join(",")).join("\r\n") + "\r\n";
}

function download(name, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
