// Bars of a chart: those of /history, and the running one made of ticks. Pure.
//
// A bar is {time, open, high, low, close, volume}; ``time`` in epoch seconds as /history has it (a day's bar: 00:00
// UTC of its date). Steps are counted from the last bar of /history, so that they begin where the exchange opens.
export const STEPS = { "1m": 60, "3m": 180, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600, D: 86400 };
export const IST_S = 19800;
const DAY_S = 86400;
const WRONG_CLOCK_S = 120;

/** The date of a moment in India, as the time of its day bar. */
export const dayOf = (seconds) => Math.floor((seconds + IST_S) / DAY_S) * DAY_S;
/** ``2026-11-20`` of such a time. */
export const dateOf = (day) => new Date(day * 1000).toISOString().slice(0, 10);

const barOf = ({ timestamp, open, high, low, close, volume }) => ({ time: timestamp, open, high, low, close, volume });

export class Bars {
  constructor(interval) {
    this.interval = interval;
    this.step = STEPS[interval];
    this.rows = [];
    this.total = null; // the day's volume as the last tick had it
    this.base = null; // the same when the running bar began
  }

  /** Rows of /history: they replace what they cover, but the running bar keeps what ticks have added. */
  merge(history) {
    const kept = new Map(this.rows.map((bar) => [bar.time, bar]));
    const running = this.total === null ? undefined : this.rows.at(-1);
    for (const row of history) kept.set(row.timestamp, barOf(row));
    this.rows = [...kept.values()].sort((a, b) => a.time - b.time);
    const found = running && kept.get(running.time);
    if (found && found !== running) {
      found.high = Math.max(found.high, running.high);
      found.low = Math.min(found.low, running.low);
      found.close = running.close;
      found.volume = Math.max(found.volume, running.volume);
    }
    // what traded before the first tick was heard is in /history alone
    const last = this.rows.at(-1);
    if (this.total !== null && last) this.base = this.total - last.volume;
    return this.rows;
  }

  /** One tick -> {bar, began}; null when it says nothing new of the running bar. */
  tick(data) {
    if (!(data.ltp > 0)) return null;
    const received = data.timestamp / 1000;
    const traded = data.ltt ? data.ltt / 1000 : received;
    const at = traded > received + WRONG_CLOCK_S ? received : traded;
    const last = this.rows.at(-1);
    const time = this._begin(at, last);
    if (last && time < last.time) return null;
    if (this.interval === "D") return this._day(data, time, last);
    const began = !last || time > last.time;
    if (began) {
      this.base = this.total !== null && data.volume >= this.total ? this.total : data.volume;
      this.rows.push({ time, open: data.ltp, high: data.ltp, low: data.ltp, close: data.ltp, volume: 0 });
    } else if (this.total === null || data.volume < this.total) {
      this.base = data.volume - last.volume;
    }
    const bar = this.rows.at(-1);
    bar.high = Math.max(bar.high, data.ltp);
    bar.low = Math.min(bar.low, data.ltp);
    bar.close = data.ltp;
    if (data.volume) {
      this.total = data.volume;
      bar.volume = Math.max(bar.volume, data.volume - this.base);
    }
    return { bar, began };
  }

  _begin(at, last) {
    if (this.interval === "D") return dayOf(at);
    if (!last) return Math.floor(at / this.step) * this.step;
    return last.time + Math.floor((at - last.time) / this.step) * this.step;
  }

  _day(data, time, last) {
    const began = !last || time > last.time;
    if (began) this.rows.push({ time, open: data.open || data.ltp, high: data.ltp, low: data.ltp, close: data.ltp, volume: 0 });
    const bar = this.rows.at(-1);
    bar.high = Math.max(bar.high, data.high || 0, data.ltp);
    bar.low = Math.min(bar.low, data.low || Infinity, data.ltp);
    bar.close = data.ltp;
    bar.volume = Math.max(bar.volume, data.volume || 0);
    return { bar, began };
  }
}
