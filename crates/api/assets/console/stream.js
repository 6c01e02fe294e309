/** The live figures, once a second over Server-Sent Events. */

import { address } from "./api.js";
import { find, findAll } from "./dom.js";
import { Chart } from "./chart.js";
import { bytes, clock, count } from "./time.js";

/**
 * Follows a stream and draws what this page has a chart for.
 * @param {string} path
 * @param {{changed?: () => void, stats?: (stats: any) => void}} [heard]
 */
export function follow(path, heard = {}) {
  const charts = new Map();
  for (const [name, what] of Object.entries(SHOWN)) {
    const svg = document.querySelector(`#chart-${name}`);
    if (svg) charts.set(name, new Chart(svg, what));
  }
  let last = /** @type {any} */ (null);
  const source = new EventSource(address(path));
  source.addEventListener("error", () => {
    last = null;
    stale();
    // Closed for good: the session may be over, which the next question to the API finds out.
    if (source.readyState === EventSource.CLOSED) {
      setTimeout(() => heard.changed?.(), 1000);
      setTimeout(() => follow(path, heard), 5000);
    }
  });
  source.addEventListener("connections", () => heard.changed?.());
  source.addEventListener("stats", (event) => {
    const stats = JSON.parse(event.data);
    const seconds = last ? Math.max(0.2, (stats.at_ms - last.at_ms) / 1000) : 0;
    const rate = (/** @type {string} */ name) => (last ? Math.max(0, stats[name] - last[name]) / seconds : 0);
    const now = {
      connections: stats.connections,
      in: rate("messages_in"),
      out: rate("messages_out"),
      bytes: rate("bytes_in") + rate("bytes_out"),
    };
    for (const [name, value] of Object.entries(now)) {
      if (name === "connections" || last) charts.get(name)?.push(value);
      const place = document.querySelector(`#now-${name}`);
      if (place) place.textContent = name === "bytes" ? bytes(value) : count(Math.round(value));
    }
    last = stats;
    fresh();
    heard.stats?.(stats);
  });
  addEventListener("pagehide", () => source.close());
  return source;
}

/** When figures last came. @type {number|null} */
let at = null;
let silence = 0;

/** Figures have come. If none follow for a while, the connection hangs. */
function fresh() {
  at = Date.now();
  clearTimeout(silence);
  silence = setTimeout(stale, SILENCE);
  mark(true, "Following");
}

/** No figures come: what is shown is as old as it is. */
function stale() {
  clearTimeout(silence);
  mark(false, at === null ? "Connecting…" : `As of ${clock(at)}`);
}

/** @param {boolean} follows @param {string} text */
function mark(follows, text) {
  for (const part of findAll("[data-live]")) part.classList.toggle("stale", !follows && at !== null);
  const badge = find("#following");
  badge.className = `badge dot ${follows ? "good" : "warn"}`;
  // Said again, it would be read aloud again.
  if (badge.textContent !== text) badge.textContent = text;
}

/** How long figures, which come each second, may stay away. */
const SILENCE = 5000;

const SHOWN = {
  connections: "Connections",
  in: "Messages in, per second,",
  out: "Messages out, per second,",
  bytes: "Bytes per second",
};
