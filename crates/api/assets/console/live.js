/** Who is connected: the list follows by itself, the charts too. */

import { get, ofApp, post } from "./api.js";
import { fill, find, make, on, show, stamp } from "./dom.js";
import { onSubmit, open, text } from "./form.js";
import * as grants from "./grants.js";
import { attempt, complain, say } from "./notice.js";
import { follow } from "./stream.js";
import { ago, bytes, count, countdown, plural } from "./time.js";

const place = find("#connections");
const search = find("#search");
/** @type {string|null} */
let next = null;
let shown = 50;
/** @type {any} */
let chosen = null;
let due = 0;
let asked = 0;

/** Asks again for as many as are shown. */
async function load() {
  const turn = (asked += 1);
  const items = [];
  let cursor = null;
  do {
    const page = await get(ofApp("connections"), { search: text(search, "search"), limit: Math.min(200, shown), cursor });
    items.push(...page.items);
    cursor = page.next;
  } while (cursor && items.length < shown);
  // A later question has overtaken this one.
  if (turn !== asked) return;
  next = cursor;
  const held = /** @type {any} */ (document.activeElement);
  const [route, action] = [held?.closest?.("tr")?.dataset.route, held?.dataset?.action];
  show(place, items.map(row));
  // Whoever is on a button by keyboard stays there.
  if (route && action) /** @type {any} */ (place.querySelector(`tr[data-route="${CSS.escape(route)}"] [data-action="${action}"]`))?.focus();
  find("#more").hidden = next === null;
  const searching = text(search, "search") !== "";
  find("#nobody").textContent = searching ? "Nobody matches" : "Nobody is connected";
  find("#nobody-hint").hidden = searching;
}

/** @param {any} connection */
function row(connection) {
  const line = stamp("connection-row", {
    identity: connection.identity,
    device: connection.device,
    route: connection.route,
    since: ago(connection.since_ms),
    remote: connection.remote,
    node: make("span", { title: connection.node }, connection.node.slice(0, 8)),
    grants: grants.chips(connection.grants),
    expires: connection.expires_ms ? countdown(connection.expires_ms, "now") : "never",
    bytes: bytes((connection.bytes_in ?? 0) + (connection.bytes_out ?? 0)),
    messages: `${count(connection.messages_in)} in, ${count(connection.messages_out)} out`,
  });
  line.dataset.route = connection.route;
  on(line, "disconnect", () => ask("disconnect", connection));
  on(line, "revoke", () => ask("revoke-live", connection));
  return line;
}

/** @param {string} dialog @param {any} connection */
function ask(dialog, connection) {
  chosen = connection;
  fill(open(dialog), { who: `${connection.identity}/${connection.device}` });
}

/** @param {string} scope */
function target(scope) {
  const { identity, device, route } = chosen;
  if (scope === "route") return { route };
  return scope === "device" ? { identity, device } : { identity };
}

onSubmit(find("#disconnect form"), async (form) => {
  const { scope, hold } = form.elements;
  const hold_s = hold.disabled ? 0 : Number(hold.value);
  const { disconnected } = await post(ofApp("connections/disconnect"), { ...target(scope.value), hold_s });
  find("#disconnect").close();
  say(`${plural(disconnected ?? 0, "connection")} closed.`);
  await Promise.all([load(), loadHolds()]);
});

// One connection has no name by which it could be kept out.
find("#disconnect form").addEventListener("change", (/** @type {any} */ event) => {
  const { scope, hold } = event.currentTarget.elements;
  hold.disabled = scope.value === "route";
});

/** Who is held out; the longest list that anyone would look through. */
async function loadHolds() {
  const { items } = await get(ofApp("holds"), { limit: 200 });
  find("#holds").hidden = items.length === 0;
  show(find("#holds"), items.map(holdRow));
}

/** @param {any} hold */
function holdRow(hold) {
  const { identity, device } = hold;
  const line = stamp("hold-row", {
    identity,
    device: device === null ? ", every device" : ` / ${device}`,
    until: countdown(hold.until_ms, "now"),
  });
  on(line, "lift", async () => {
    await post(ofApp("holds/lift"), device === null ? { identity } : { identity, device });
    say("May come in again.");
    await loadHolds();
  });
  return line;
}

onSubmit(find("#revoke-live form"), async (form) => {
  const { closed } = await post(ofApp("revocations"), target(form.elements.scope.value));
  find("#revoke-live").close();
  say(`Revoked; ${plural(closed ?? 0, "connection")} closed.`);
  await load();
});

const soon = (/** @type {number} */ ms) => {
  clearTimeout(due);
  due = setTimeout(() => load().catch(complain), ms);
};
search.addEventListener("input", () => soon(200));
onSubmit(search, load);
find("#more button").addEventListener("click", (/** @type {any} */ event) => {
  shown += 50;
  attempt(event.currentTarget, load);
});

let ticks = 0;
follow(ofApp("live"), {
  changed: () => soon(150),
  // What each has sent and received changes without the set changing.
  stats() {
    ticks += 1;
    if (ticks % 5 === 0 && !document.hidden) load().catch(complain);
    if (ticks % 30 === 0 && !document.hidden) loadHolds().catch(complain);
  },
});
load().catch(complain);
loadHolds().catch(complain);
