/** The audit log: newest first, filtered, exported. */

import { HOME, address, all, get, part } from "./api.js";
import { find, make, show, stamp } from "./dom.js";
import { moment, onSubmit, text } from "./form.js";
import { attempt, complain } from "./notice.js";
import { full } from "./time.js";

const place = find("#audit");
const filter = find("#filter");
/** @type {Map<string, string>} */
const apps = new Map();
/** @type {any[]} */
let items = [];
/** @type {string|null} */
let next = null;

const query = () => ({
  app: filter.elements.app.value,
  actor: text(filter, "actor"),
  action: text(filter, "action"),
  from_ms: moment(filter, "from"),
  to_ms: moment(filter, "to"),
});

/** Filters as the address says, so that it can be kept and passed on. */
function readAddress() {
  const given = new URLSearchParams(location.search);
  for (const name of ["app", "actor", "action"]) filter.elements[name].value = given.get(name) ?? "";
  for (const name of ["from", "to"]) filter.elements[name].value = local(given.get(`${name}_ms`));
}

/** Puts the filters into the address. */
function writeAddress() {
  const pairs = Object.entries(query()).filter(([, value]) => value !== undefined && value !== "");
  const search = new URLSearchParams(pairs.map(([name, value]) => [name, String(value)]));
  const next = pairs.length === 0 ? location.pathname : `${location.pathname}?${search}`;
  if (next !== location.pathname + location.search) history.pushState(null, "", next);
}

/** A moment as a field has it, in this browser's time. @param {string|null} ms */
function local(ms) {
  const moment = new Date(Number(ms) - new Date(Number(ms)).getTimezoneOffset() * 60_000);
  return !ms || Number.isNaN(moment.getTime()) ? "" : moment.toISOString().slice(0, 16);
}

/** @param {string|null} cursor */
async function load(cursor) {
  const page = await get("audit", { ...query(), limit: 50, cursor });
  items = cursor ? [...items, ...page.items] : page.items;
  next = page.next;
  show(place, items.map(row));
  find("#more").hidden = next === null;
  for (const format of ["jsonl", "csv"]) find(`#export-${format}`).href = address("audit/export", { ...query(), format });
}

/** @param {any} entry */
function row(entry) {
  const name = entry.app ? (apps.get(entry.app) ?? entry.app) : null;
  const known = entry.app && apps.has(entry.app);
  return stamp("audit-row", {
    at: full(entry.at_ms),
    actor: actor(entry.actor),
    action: make("code", {}, entry.action),
    target: entry.target ? make("span", { class: "mono" }, entry.target) : "",
    app: name ? make("span", {}, "app ", known ? make("a", { href: new URL(`apps/${part(entry.app)}/settings`, HOME) }, name) : name) : "",
    detail: detail(entry.detail),
    peer: entry.peer ?? "–",
  });
}

/** @param {any} actor */
function actor(actor) {
  if (actor === null || actor === undefined) return "–";
  if (typeof actor === "string") return actor;
  return actor.email ?? actor.name ?? (actor.key ? `key ${actor.key}` : (WHO[actor.kind] ?? actor.kind ?? "–"));
}

/** @param {any} detail */
function detail(detail) {
  if (!detail || Object.keys(detail).length === 0) return "";
  return make("details", {}, make("summary", { class: "hint" }, "Details"), make("pre", { class: "json" }, JSON.stringify(detail, null, 2)));
}

onSubmit(filter, async () => {
  writeAddress();
  await load(null);
});
addEventListener("popstate", () => {
  readAddress();
  load(null).catch(complain);
});
find("#more button").addEventListener("click", (/** @type {any} */ event) => attempt(event.currentTarget, () => load(next)));

all("apps")
  .then((seen) => {
    for (const app of seen) apps.set(app.id, app.name);
    find("#filter-app").append(...seen.map((app) => make("option", { value: app.id }, app.name)));
    readAddress();
    return load(null);
  })
  .catch(complain);

/** @type {Record<string, string>} */
const WHO = { cli: "command line", system: "the server" };
