// A line over time with uPlot, in the colours of the page. Only pages with charts load this.
import uPlot from "../vendor/uplot.js";
import { html, useEffect, useRef } from "./ui.js";
import { onScheme, painted } from "./colours.js";

const hours = new Intl.DateTimeFormat("en-IN", { timeZone: "Asia/Kolkata", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const seconds = new Intl.DateTimeFormat("en-IN", { timeZone: "Asia/Kolkata", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

/** ``data``: [epoch seconds[], values[]]; ``label`` names the line. */
export function Line({ data, label, height = 160, format = (value) => String(value) }) {
  const box = useRef(null);
  const plot = useRef(null);
  useEffect(() => {
    const make = () => {
      plot.current?.destroy();
      const axis = { stroke: painted("--soft"), grid: { stroke: painted("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
      plot.current = new uPlot({
        width: box.current.clientWidth, height, cursor: { y: false }, legend: { show: false },
        scales: { x: { time: true } },
        axes: [
          { ...axis, values: (_, ticks) => ticks.map((at) => (ticks[1] - ticks[0] < 60 ? seconds : hours).format(new Date(at * 1000))), space: 80 },
          { ...axis, size: 70, values: (_, ticks) => ticks.map(format) },
        ],
        series: [{}, { label, stroke: painted("--link"), width: 2, points: { show: false } }],
      }, data, box.current);
    };
    make();
    const watch = new ResizeObserver(() => plot.current?.setSize({ width: box.current.clientWidth, height }));
    watch.observe(box.current);
    const forget = onScheme(make);
    return () => { watch.disconnect(); forget(); plot.current?.destroy(); };
  }, []);
  useEffect(() => plot.current?.setData(data), [data]);
  return html`<div class="chart" ref=${box} role="img" aria-label=${label}></div>`;
}
