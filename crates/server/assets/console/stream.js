/** The live figures, once a second over Server-Sent Events. */

import { address } from "./api.js";
import { find } from "./dom.js";
import { Chart } from "./chart.js";
import { bytes, count } from "./time.js";

/**
 * Follows a stream and draws what this page has a chart for.
 * @param {string} path
 * @param {{changed?: () => void, state?: (following: boolean) => void, stats?: (stats: any) => void}} [heard]
 */
export function follow(path, heard = {}) {
  const charts = new Map();
  for (const [name, what] of Object.entries(SHOWN)) {
    const svg = document.querySelector(`#chart-${name}`);
    if (svg) charts.set(name, new Chart(svg, what));
  }
  let last = /** @type {any} */ (null);
  const source = new EventSource(address(path));
  source.addEventListener("open", () => heard.state?.(true));
  source.addEventListener("error", () => {
    last = null;
    heard.state?.(false);
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
    heard.stats?.(stats);
  });
  addEventListener("pagehide", () => source.close());
  return source;
}

/** Says whether the page follows. @param {boolean} following */
export function showFollowing(following) {
  const badge = find("#following");
  badge.className = `badge dot ${following ? "good" : "warn"}`;
  badge.textContent = following ? "Following" : "Connecting…";
}

const SHOWN = {
  connections: "Connections",
  in: "Messages in, per second,",
  out: "Messages out, per second,",
  bytes: "Bytes per second",
};
