/** Forms whose changes are lost unless they are saved: whoever leaves the page is asked first. */

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

/** Whether the page may be left: asks if something would be lost. @returns {Promise<boolean>} */
export function mayLeave() {
  if (![...forms.keys()].some(isChanged)) return Promise.resolve(true);
  const dialog = find("#unsaved");
  dialog.returnValue = "";
  open("unsaved");
  return new Promise((resolve) => {
    const over = () => {
      const leaves = dialog.returnValue === "leave";
      // It was asked once.
      if (leaves) forms.clear();
      resolve(leaves);
    };
    dialog.addEventListener("close", over, { once: true });
  });
}

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
  mayLeave().then((leaves) => leaves && location.assign(link.href));
});
