// A candle chart with lightweight-charts, in the colours of the page, and the way between prices and pixels for what
// is laid over it. Only pages with candles load this.
import { CandlestickSeries, ColorType, CrosshairMode, HistogramSeries, LineStyle, createChart } from "../vendor/lightweight-charts.js";
import { IST_S } from "./bars.js";
import { faint, onScheme, painted } from "./colours.js";

const EDGE = 12; // bars left of the view at which earlier ones are asked for
const REACH = 0.6; // how far beyond the candles a line may pull the scale, in parts of their range

export class Candles {
  /** ``onHover(bar)``: under the crosshair, undefined when it is elsewhere; ``onEdge()``: earlier bars are wanted. */
  constructor(box, { onHover, onEdge }) {
    this.chart = createChart(box, {
      autoSize: true,
      layout: { attributionLogo: false, fontFamily: "system-ui, sans-serif", fontSize: 12, background: { type: ColorType.Solid, color: "transparent" } },
      crosshair: { mode: CrosshairMode.Normal },
      rightPriceScale: { borderVisible: false, scaleMargins: { top: 0.08, bottom: 0.24 } },
      timeScale: { borderVisible: false, timeVisible: true, secondsVisible: false, rightOffset: 6 },
      // a finger that goes up or down scrolls the page
      handleScroll: { vertTouchDrag: false },
      localization: { locale: "en-IN" },
    });
    this.series = this.chart.addSeries(CandlestickSeries, { autoscaleInfoProvider: (original) => this._range(original()) });
    this.volume = this.chart.addSeries(HistogramSeries, { priceScaleId: "", priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false });
    this.volume.priceScale().applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
    this.watchers = new Set();
    this.prices = [];
    this.shift = IST_S;
    this.byTime = new Map();
    // drawn anew whenever the scale may have moved: what lies over the chart follows
    this.series.attachPrimitive({ updateAllViews: () => this.watchers.forEach((watcher) => watcher()) });
    this.chart.subscribeCrosshairMove(({ time }) => onHover(time === undefined ? undefined : this.byTime.get(time)));
    this.chart.timeScale().subscribeVisibleLogicalRangeChange((range) => { if (range && range.from < EDGE && this.byTime.size) onEdge(); });
    this.forget = onScheme(() => this.paint());
    this.paint();
  }

  paint() {
    const [ink, line, up, down] = ["--soft", "--line", "--good", "--bad"].map(painted);
    this.chart.applyOptions({
      layout: { textColor: ink },
      grid: { vertLines: { color: line }, horzLines: { color: line } },
    });
    this.series.applyOptions({ upColor: up, borderUpColor: up, wickUpColor: up, downColor: down, borderDownColor: down, wickDownColor: down, priceLineStyle: LineStyle.Dotted });
    this.tints = [faint("--good", 0.35), faint("--bad", 0.35)];
  }

  /** All bars. ``show``: how many of the last ones fill the width; none: the view stays where it is. */
  set(bars, { daily, places, tick, show }) {
    this.shift = daily ? 0 : IST_S; // the library knows no time zones: India's wall clock as if it were UTC
    this.series.applyOptions({ priceFormat: { type: "price", precision: places, minMove: tick || 0.01 } });
    this.chart.applyOptions({ timeScale: { timeVisible: !daily } });
    this.byTime = new Map(bars.map((bar) => [bar.time + this.shift, bar]));
    this.series.setData(bars.map((bar) => this._candle(bar)));
    this.volume.setData(bars.map((bar) => this._volume(bar)));
    if (show) {
      this.series.priceScale().applyOptions({ autoScale: true });
      this.chart.timeScale().setVisibleLogicalRange({ from: Math.max(-6, bars.length - show), to: bars.length + 6 });
    }
  }

  update(bar) {
    this.byTime.set(bar.time + this.shift, bar);
    this.series.update(this._candle(bar));
    this.volume.update(this._volume(bar));
  }

  /** Prices the scale makes room for, if they are not too far away. */
  reach(prices) {
    this.prices = prices;
    this.series.applyOptions({}); // works the scale out anew
  }

  y(price) { return this.series.priceToCoordinate(price); }
  price(y) { return this.series.coordinateToPrice(y); }
  /** The pane without its scales, in pixels. */
  get pane() { return this.chart.paneSize(); }

  /** Called whenever prices may have moved on the screen; the answer stops that. */
  watch(watcher) {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  }

  destroy() {
    this.forget();
    this.chart.remove();
  }

  _candle({ time, open, high, low, close }) { return { time: time + this.shift, open, high, low, close }; }
  _volume({ time, open, close, volume }) { return { time: time + this.shift, value: volume, color: this.tints[close >= open ? 0 : 1] }; }

  _range(found) {
    if (!found?.priceRange) return found;
    const { minValue, maxValue } = found.priceRange;
    const room = Math.max((maxValue - minValue) * REACH, maxValue * 0.002);
    const near = this.prices.filter((price) => price > minValue - room && price < maxValue + room);
    return { ...found, priceRange: { minValue: Math.min(minValue, ...near), maxValue: Math.max(maxValue, ...near) } };
  }
}
