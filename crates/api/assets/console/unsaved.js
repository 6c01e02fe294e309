/** Forms whose changes are lost unless they are saved: the page asks before it is left. */

import { find } from "./dom.js";
import { open } from "./form.js";

/** What is saved of each form. @type {Map<any, string>} */
const forms = new Map();

/** What a form holds now is saved. @param {any} form */
export function saved(form) {
  forms.set(form, values(form));
}

/** Whether a form holds what is not saved. @param {any} form */
export const isChanged = (form) => forms.has(form) && forms.get(form) !== values(form);

/**
 * Whether the page may be left: asks if something would be lost. What was entered stays until the page
 * is gone.
 * @returns {Promise<boolean>}
 */
export function mayLeave() {
  if (![...forms.keys()].some(isChanged)) return Promise.resolve(true);
  const dialog = find("#unsaved");
  dialog.returnValue = "";
  open("unsaved");
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "leave"), { once: true });
  });
}

/** Asks no more: for who goes to another page right after this. */
export const leaveAsItIs = () => forms.clear();

/** @param {any} form */
function values(form) {
  const fields = [...form.elements].filter((field) => field.type !== "submit" && field.type !== "button");
  return JSON.stringify(fields.map((field) => ("checked" in field && CHECKS.includes(field.type) ? field.checked : field.value)));
}

const CHECKS = ["checkbox", "radio"];

addEventListener("beforeunload", (event) => {
  if ([...forms.keys()].some(isChanged)) event.preventDefault();
});

addEventListener("click", (event) => {
  const link = /** @type {any} */ (event.target)?.closest?.("a[href]");
  const isPlain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
  if (!link || !isPlain || link.target || link.hasAttribute("download") || link.getAttribute("href").startsWith("#")) return;
  if (![...forms.keys()].some(isChanged)) return;
  event.preventDefault();
  mayLeave().then((leaves) => {
    if (!leaves) return;
    leaveAsItIs();
    location.assign(link.href);
  });
});
