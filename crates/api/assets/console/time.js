/** Moments, spans and amounts, for people. */

import { make } from "./dom.js";

const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });

/** @param {number|null|undefined} ms */
export const full = (ms) => (ms === null || ms === undefined ? "–" : FULL.format(ms));
/** The time of day. @param {number} ms */
export const clock = (ms) => CLOCK.format(ms);
/** @param {number|null|undefined} ms */
export const day = (ms) => (ms === null || ms === undefined ? "–" : DAY.format(ms));

/** "3 minutes ago", with the whole moment on hover. @param {number|null|undefined} ms @param {string} [never] */
export function ago(ms, never = "–") {
  if (ms === null || ms === undefined) return make("span", { class: "faint" }, never);
  return make("time", { datetime: new Date(ms).toISOString(), title: full(ms) }, relative(ms));
}

/** @param {number} ms */
export function relative(ms) {
  const seconds = Math.round((ms - Date.now()) / 1000);
  const [unit, size] = STEPS.find(([, step]) => Math.abs(seconds) >= step) ?? ["second", 1];
  if (unit === "second" && Math.abs(seconds) < 5) return "just now";
  if (unit === "day" && Math.abs(seconds) > 45 * 86400) return DAY.format(ms);
  return new Intl.RelativeTimeFormat(undefined, { numeric: "auto" }).format(Math.round(seconds / size), unit);
}

/** "1 d 2 h", "4 min 5 s": the two largest units. @param {number} seconds */
export function span(seconds) {
  let rest = Math.max(0, Math.round(seconds));
  const parts = [];
  for (const [unit, size] of /** @type {[string, number][]} */ ([["d", 86400], ["h", 3600], ["min", 60], ["s", 1]])) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0 || (unit === "s" && parts.length === 0)) parts.push(`${count} ${unit}`);
  }
  return parts.slice(0, 2).join(" ");
}

/** Time until a moment, counted down by itself. @param {number} ms @param {string} [over] */
export function countdown(ms, over = "over") {
  const place = make("span", { class: "countdown", title: full(ms), role: "timer", "aria-live": "off" });
  const tick = () => {
    const left = (ms - Date.now()) / 1000;
    place.textContent = left > 0 ? span(left) : over;
    if (left > 0 && (place.isConnected || !started)) setTimeout(tick, left > 3600 ? 15000 : 1000);
    started = true;
  };
  let started = false;
  tick();
  return place;
}

/** @param {number} bytes */
export function bytes(bytes) {
  if (bytes < 1000) return `${Math.round(bytes)} B`;
  const units = ["kB", "MB", "GB", "TB", "PB"];
  let value = bytes;
  let unit = -1;
  do {
    value /= 1000;
    unit += 1;
  } while (value >= 999.5 && unit < units.length - 1);
  return `${value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`;
}

const COUNT = new Intl.NumberFormat();
/** @param {number|null|undefined} value */
export const count = (value) => (value === null || value === undefined ? "–" : COUNT.format(value));

/** "1 key", "2 keys". @param {number} value @param {string} one @param {string} [many] */
export const plural = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

/** @type {[Intl.RelativeTimeFormatUnit, number][]} */
const STEPS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
