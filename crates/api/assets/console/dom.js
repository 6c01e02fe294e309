/**
 * The page's tree: finding, stamping, filling. Data gets in as text and attributes, never as markup.
 */

/**
 * The one element that matches; that it is there is the template's promise.
 * @param {string} selector
 * @param {ParentNode} [root]
 * @returns {any}
 */
export function find(selector, root = document) {
  const found = root.querySelector(selector);
  if (!found) throw new Error(`nothing matches ${selector}`);
  return found;
}

/** @param {string} selector @param {ParentNode} [root] @returns {any[]} */
export const findAll = (selector, root = document) => [...root.querySelectorAll(selector)];

/**
 * @param {string} tag
 * @param {Record<string, unknown>} [properties] `class`, `data-…`, `aria-…` and plain attributes; handlers as `onclick`
 * @param {...(Node|string|null|undefined|false)} children
 * @returns {any}
 */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), /** @type {any} */ (value));
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(.../** @type {any} */ (children.filter((child) => child !== null && child !== undefined && child !== false)));
  return element;
}

/**
 * A copy of a template's first element, its `data-field`s filled.
 * @param {string} id
 * @param {Record<string, Node|string|number|null|undefined>} fields
 * @returns {any}
 */
export function stamp(id, fields = {}) {
  const copy = find(`template#${id}`).content.firstElementChild.cloneNode(true);
  fill(copy, fields);
  if (mayNotWrite()) for (const element of findAll("[data-write]", copy)) element.remove();
  return copy;
}

/**
 * Fills every `data-field` below `root`; `null` and `undefined` leave a dash.
 * @param {ParentNode} root
 * @param {Record<string, Node|string|number|null|undefined>} fields
 */
export function fill(root, fields) {
  for (const [name, value] of Object.entries(fields)) {
    for (const slot of findAll(`[data-field="${name}"]`, root)) {
      slot.replaceChildren(value instanceof Node ? value : String(value ?? "–"));
    }
  }
}

/** What a button does. @param {ParentNode} root @param {string} action @param {(event: Event) => unknown} handler */
export function on(root, action, handler) {
  for (const element of findAll(`[data-action="${action}"]`, root)) element.addEventListener("click", handler);
}

/** Whether this operator only reads. */
export const mayNotWrite = () => document.documentElement.dataset.role === "viewer";

/**
 * A list with its three looks: loading, empty, filled.
 * @param {ParentNode} root an element with `[data-loading]`, `[data-empty]`, `[data-filled]` and `[data-rows]` in it
 * @param {Node[]} rows
 */
export function show(root, rows) {
  const looks = { "[data-loading]": false, "[data-empty]": rows.length === 0, "[data-filled]": rows.length > 0 };
  for (const [selector, visible] of Object.entries(looks)) {
    for (const element of findAll(selector, root)) element.hidden = !visible;
  }
  find("[data-rows]", root).replaceChildren(...rows);
}

/** Badge. @param {string} text @param {string} [kind] good, warn, bad, accent */
export const badge = (text, kind = "") => make("span", { class: `badge ${kind}` }, text);
