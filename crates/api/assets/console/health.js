/** How this node is, looked at every few seconds. */

import { get } from "./api.js";
import { badge, fill, find, make, stamp } from "./dom.js";
import { bytes, count, full, span } from "./time.js";

const place = find("#health");
const verdict = find("#verdict");

async function look() {
  try {
    const health = await get("health");
    const { database = {}, bus = {}, disk = {}, clock = {}, ...node } = health;
    place.replaceChildren(
      card("Node", "", node),
      ...Object.entries({ Database: database, Bus: bus, Disk: disk, Clock: clock }).map(([name, facts]) => card(name, state(facts), facts)),
    );
    const ill = [database, bus, disk, clock].some((part) => part.ok === false);
    say(ill ? "bad" : "good", ill ? "Something is wrong" : "All is well");
  } catch {
    say("bad", "Does not answer");
  }
  setTimeout(look, 5000);
}

/** @param {string} kind @param {string} text */
function say(kind, text) {
  verdict.className = `badge dot ${kind}`;
  if (verdict.textContent !== text) verdict.textContent = text;
}

/** @param {any} facts */
const state = (facts) => (facts.ok === undefined ? "" : facts.ok ? badge("good", "good") : badge("wrong", "bad"));

/** @param {string} name @param {Node|string} state @param {any} facts */
function card(name, state, facts) {
  const element = stamp("health-card");
  fill(element, { name, state });
  const list = find("dl", element);
  for (const [key, value] of Object.entries(facts)) {
    if (key === "ok" || value === null || value === undefined) continue;
    // Said by the badge already.
    if (key === "state" && facts.ok) continue;
    list.append(make("dt", {}, label(key)), make("dd", {}, plain(key, value)));
  }
  return element;
}

/** @param {string} key */
function label(key) {
  if (NAMES[key]) return NAMES[key];
  const words = key.replace(/_(ms|s|us|bytes|percent)$/, "").replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** @param {string} key @param {any} value */
function plain(key, value) {
  if (key === "dev") return value ? "development" : "production";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "number") return typeof value === "string" ? value : JSON.stringify(value);
  if (key.endsWith("_percent")) return `${value} %`;
  if (key.endsWith("_bytes")) return bytes(value);
  if (key.endsWith("uptime_s")) return span(value);
  if (key.endsWith("_s")) return `${count(value)} s`;
  if (key === "now_ms" || key === "started_ms" || key === "at_ms") return full(value);
  if (key.endsWith("_ms")) return `${count(value)} ms`;
  if (key.endsWith("_us")) return `${count(value)} µs`;
  return count(value);
}

/** @type {Record<string, string>} */
const NAMES = { dev: "Mode", set_by_ms: "Was set by", schema: "Schema version", durable: "Waits for the disk" };

look();
