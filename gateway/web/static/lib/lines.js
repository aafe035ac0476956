// Orders and positions as lines over a candle chart: drag to move, × to cancel, keys on the handle.
import { html, useEffect, useLayoutEffect, useRef, useState } from "./ui.js";
import { lineDrawn, lineGone } from "./hand.js";
import { price as priceText } from "./fmt.js";

export const snap = (price, tick) => Number((Math.round(price / tick) * tick).toFixed(6));

/**
 * ``line``: {key, orderid, price, side, kind, text, state, reason, drawn}. ``tick``: grid of a drag; ``move(price)``
 * makes it draggable; ``close(at)`` gives it an ×, ``exit`` a button.
 */
function Line({ chart, line, tick, move, close, action }) {
  const node = useRef(null);
  const [held, hold] = useState(null); // price under the finger
  const from = useRef(null);
  const price = held ?? line.price;

  const put = () => {
    const y = chart.y(price);
    const { height, width } = chart.pane;
    if (!node.current || y === null || !height) return;
    const seen = Math.max(0, Math.min(height - 1, y));
    node.current.style.transform = `translateY(${seen}px)`;
    node.current.style.width = `${width}px`;
    node.current.classList.toggle("beyond", seen !== y);
    node.current.classList.toggle("low", seen < 24);
  };
  useLayoutEffect(put);
  useEffect(() => chart.watch(put), [chart, price]);
  useEffect(() => {
    if (!line.drawn) return undefined;
    lineDrawn(line.orderid);
    return () => lineGone(line.orderid);
  }, [line.orderid, line.drawn]);

  const end = (wanted) => {
    from.current = null;
    hold(null);
    if (wanted !== null && wanted !== line.price) move(wanted);
  };
  const down = (event) => {
    if (!move || event.button !== 0 || event.target.closest("button")) return;
    event.currentTarget.setPointerCapture(event.pointerId);
    node.current.querySelector(".grip").focus({ preventScroll: true });
    from.current = { y: event.clientY, at: chart.y(line.price) };
    event.preventDefault();
  };
  const drag = (event) => {
    if (!from.current) return;
    const found = chart.price(from.current.at + event.clientY - from.current.y);
    if (found > 0) hold(Math.max(tick, snap(found, tick)));
  };
  const keys = (event) => {
    const by = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 10, PageDown: -10 }[event.key];
    if (by && move) hold(Math.max(tick, snap(price + by * tick, tick)));
    else if (event.key === "Enter" && held !== null) end(held);
    else if (event.key === "Escape" && held !== null) end(null);
    else if ((event.key === "Delete" || event.key === "Backspace") && close && !event.repeat) close(performance.now());
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const shown = held !== null ? `${line.text} → ${priceText(held)}` : `${line.text} ${priceText(line.price)}`;
  const note = held !== null ? (from.current ? "" : "Enter sends, Esc leaves") : line.state;
  return html`<div ref=${node} class=${`mark ${line.kind} ${line.tone || ""} ${held !== null ? "held" : ""} ${move ? "drags" : ""}`} data-order=${line.orderid} data-state=${line.state || "open"}>
    <div class="rule" onPointerDown=${down} onPointerMove=${drag} onPointerUp=${() => from.current && end(held)} onPointerCancel=${() => end(null)}></div>
    <div class="tag" onPointerDown=${down} onPointerMove=${drag} onPointerUp=${() => from.current && end(held)} onPointerCancel=${() => end(null)}>
      ${line.drawn ? html`<span class="grip" role="slider" tabindex="0" aria-disabled=${!move} aria-label=${`${line.text}: arrow keys move it by ticks`} aria-valuenow=${price} aria-valuemin="0" aria-valuemax=${line.price * 2} aria-valuetext=${priceText(price)}
          onKeyDown=${keys} onBlur=${() => !from.current && hold(null)}>${shown}</span>` : html`<span class="grip">${shown}</span>`}
      ${note && html`<em>${note}</em>`}
      ${line.result}
      ${action}
      ${close && html`<button type="button" class="x" aria-label=${`Cancel ${line.text}`} title="Cancel" disabled=${line.leaving} onClick=${(event) => { event.stopPropagation(); close(performance.now()); }}>×</button>`}
    </div>
    ${line.reason && html`<div class="why" role="status">${line.reason}</div>`}
  </div>`;
}

/** ``lines``: see ``Line``, each with its own ``move``, ``close`` and ``action``. */
export function Lines({ chart, lines, tick }) {
  const prices = lines.map((line) => line.price).join(" ");
  useEffect(() => chart.reach(lines.map((line) => line.price)), [chart, prices]);
  return html`<div class="lines">${lines.map((line) => html`<${Line} key=${line.key} chart=${chart} line=${line} tick=${tick} move=${line.move} close=${line.close} action=${line.action} />`)}</div>`;
}
