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

onSubmit(filter, () => load(null));
find("#more button").addEventListener("click", (/** @type {any} */ event) => attempt(event.currentTarget, () => load(next)));

all("apps")
  .then((seen) => {
    for (const app of seen) apps.set(app.id, app.name);
    find("#filter-app").append(...seen.map((app) => make("option", { value: app.id }, app.name)));
    return load(null);
  })
  .catch(complain);

/** @type {Record<string, string>} */
const WHO = { cli: "command line", system: "the server" };
