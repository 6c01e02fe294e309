/**
 * The grants editor of `grants.html`: what a token, a ceiling or a strategy may grant.
 *
 * An absent limit does not limit; what is not ticked is not granted.
 */

import { find, findAll, make } from "./dom.js";
import { words } from "./form.js";

/** Lets the limits of a service appear with its tick. @param {ParentNode} root */
export function bind(root) {
  for (const grant of findAll("[data-grant]", root)) {
    const box = find("input[data-on]", grant);
    const limits = grant.querySelector("[data-limits]");
    const follow = () => limits && (limits.hidden = !box.checked);
    box.addEventListener("change", follow);
    box.form?.addEventListener("reset", () => setTimeout(follow));
    follow();
  }
}

/** @param {ParentNode} root @returns {Record<string, unknown>} */
export function read(root) {
  /** @type {Record<string, unknown>} */
  const grants = {};
  for (const grant of findAll("[data-grant]", root)) {
    if (!find("input[data-on]", grant).checked) continue;
    /** @type {Record<string, unknown>} */
    const limits = {};
    for (const field of findAll("[data-list]", grant)) {
      const list = words(field.value);
      if (list.length > 0) limits[field.dataset.list] = list;
    }
    for (const field of findAll("[data-refuse]", grant)) {
      if (field.checked) limits[field.dataset.refuse] = false;
    }
    for (const group of findAll("[data-kinds]", grant)) {
      const boxes = findAll("input", group);
      const kinds = boxes.filter((box) => box.checked).map((box) => box.value);
      if (kinds.length < boxes.length) limits[group.dataset.kinds] = kinds;
    }
    grants[grant.dataset.grant] = Object.keys(limits).length === 0 ? true : limits;
  }
  return grants;
}

/** Shows grants in the editor. @param {ParentNode} root @param {any} grants */
export function write(root, grants) {
  for (const grant of findAll("[data-grant]", root)) {
    const value = grants?.[grant.dataset.grant];
    const box = find("input[data-on]", grant);
    box.checked = value === true || (typeof value === "object" && value !== null);
    for (const field of findAll("[data-list]", grant)) field.value = (value?.[field.dataset.list] ?? []).join(", ");
    for (const field of findAll("[data-refuse]", grant)) field.checked = value?.[field.dataset.refuse] === false;
    for (const group of findAll("[data-kinds]", grant)) {
      const kinds = value?.[group.dataset.kinds];
      for (const kind of findAll("input", group)) kind.checked = !kinds || kinds.includes(kind.value);
    }
    box.dispatchEvent(new Event("change"));
  }
}

/** Grants as badges, limits on hover. @param {any} grants @param {string} [none] */
export function chips(grants, none = "none") {
  const entries = Object.entries(grants ?? {}).filter(([, value]) => value !== false);
  if (entries.length === 0) return make("span", { class: "faint" }, none);
  return make(
    "span",
    { class: "chips" },
    ...entries.map(([name, value]) => {
      const limited = value !== true && Object.keys(/** @type {any} */ (value) ?? {}).length > 0;
      const limits = limited ? JSON.stringify(value) : undefined;
      return make("span", { class: `badge ${limited ? "warn" : "accent"}`, title: limits }, limited ? `${name}, limited` : name);
    }),
  );
}
