// Numbers, times and durations as people here write them. Pure.
const money = new Intl.NumberFormat("en-IN", { minimumFractionDigits: 2, maximumFractionDigits: 4 });
const rupees = new Intl.NumberFormat("en-IN", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const whole = new Intl.NumberFormat("en-IN", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en-IN", { notation: "compact", minimumFractionDigits: 2, maximumFractionDigits: 2 });
const moment = new Intl.DateTimeFormat("en-IN", {
  timeZone: "Asia/Kolkata", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
});
const clock = new Intl.DateTimeFormat("en-IN", {
  timeZone: "Asia/Kolkata", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});

export const known = (value) => value !== undefined && value !== null && value !== "" && !Number.isNaN(value);
export const price = (value) => (known(value) ? money.format(Number(value)) : "–");
export const inr = (value) => (known(value) ? rupees.format(Number(value)) : "–");
export const count = (value) => (known(value) ? whole.format(Number(value)) : "–");
export const compact = (value) => (known(value) ? (Math.abs(value) < 1000 ? whole : short).format(Number(value)) : "–");
/** An average price: to the paisa, so that a column lines up; currencies have smaller ticks. "–" before a fill. */
export const average = ({ exchange, average_price: value }) => (Number(value) ? (["CDS", "BCD"].includes(exchange) ? money : rupees).format(Number(value)) : "–");
export const signed = (value) => (known(value) ? (Number(value) > 0 ? "+" : "") + rupees.format(Number(value)) : "–");
export const percent = (value) => (known(value) ? `${Number(value) > 0 ? "+" : ""}${Number(value).toFixed(2)} %` : "–");
export const sign = (value) => (Number(value) > 0 ? "up" : Number(value) < 0 ? "down" : "");
export const when = (iso) => (iso ? `${moment.format(new Date(iso))} IST` : "–");
export const time = (ms) => (known(ms) ? clock.format(new Date(ms)) : "–");

/** A duration as people say it: "0.4 s", "34 s", "12 min", "3 h", "2 d". */
export function span(seconds) {
  if (!known(seconds)) return "–";
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} d`;
}
