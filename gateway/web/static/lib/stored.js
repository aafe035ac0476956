// Stored candles with lightweight-charts, in the colours of the page. Only loaded when a chart is opened.
import { CandlestickSeries, ColorType, HistogramSeries, createChart } from "../vendor/lightweight-charts.js";
import { html, useEffect, useRef } from "./ui.js";
import { onScheme, painted } from "./colours.js";

const IST_S = 19800;
/** The library knows no time zones: what it calls UTC is IST here. */
const shifted = (rows) => rows.map((row) => ({ ...row, time: row.timestamp + IST_S }));

function colours() {
  const soft = painted("--soft"), line = painted("--line");
  return {
    layout: { attributionLogo: false, background: { type: ColorType.Solid, color: painted("--card") }, textColor: soft, fontFamily: "system-ui" },
    grid: { vertLines: { color: line }, horzLines: { color: line } },
    rightPriceScale: { borderColor: line }, timeScale: { borderColor: line },
  };
}

/** ``rows``: bars with ``timestamp`` (epoch seconds), open, high, low, close, volume. */
export function Candles({ rows, daily, label, height = 340 }) {
  const box = useRef(null);
  const made = useRef(null);
  useEffect(() => {
    const chart = createChart(box.current, { ...colours(), autoSize: true, timeScale: { ...colours().timeScale, timeVisible: !daily, rightOffset: 3 } });
    const price = chart.addSeries(CandlestickSeries, {});
    const volume = chart.addSeries(HistogramSeries, { priceScaleId: "volume", priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false });
    chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
    chart.priceScale("right").applyOptions({ scaleMargins: { top: 0.06, bottom: 0.22 } });
    const paint = () => {
      const up = painted("--good"), down = painted("--bad");
      chart.applyOptions(colours());
      price.applyOptions({ upColor: up, downColor: down, borderVisible: false, wickUpColor: up, wickDownColor: down });
      volume.applyOptions({ color: painted("--line") });
    };
    paint();
    const forget = onScheme(paint);
    made.current = { chart, price, volume };
    return () => { forget(); chart.remove(); };
  }, [daily]);
  useEffect(() => {
    const bars = shifted(rows);
    made.current.price.setData(bars.map(({ time, open, high, low, close }) => ({ time, open, high, low, close })));
    made.current.volume.setData(bars.map(({ time, volume }) => ({ time, value: volume })));
    made.current.chart.timeScale().fitContent();
  }, [rows, daily]);
  return html`<div class="stored-chart" ref=${box} role="img" aria-label=${label} style=${{ height: `${height}px` }}></div>
    <p class="hint soft">Charts by <a href="https://www.tradingview.com/" rel="noopener noreferrer">TradingView</a> Lightweight Charts. Times in IST.</p>`;
}
