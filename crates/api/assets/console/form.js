/** Forms and dialogs: sending, failing, closing. */

import { ApiError } from "./api.js";
import { find, findAll } from "./dom.js";

/**
 * Sends a form by a function: its button is busy meanwhile, and a refusal stands in the form.
 * @param {any} form
 * @param {(form: any) => Promise<unknown>} send
 */
export function onSubmit(form, send) {
  form.addEventListener("submit", async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (form.dataset.busy) return;
    form.dataset.busy = "yes";
    const button = form.querySelector("[type=submit]");
    button?.setAttribute("aria-busy", "true");
    mention(form, "");
    try {
      for (const field of form.elements) fits(field);
      await send(form);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      mention(form, error.message);
      if (!(error instanceof ApiError || error instanceof FormError)) throw error;
    } finally {
      delete form.dataset.busy;
      button?.removeAttribute("aria-busy");
    }
  });
}

/** What the browser finds wrong with a number, a URL or a date. @param {any} field */
function fits(field) {
  if (!CHECKED.includes(field.type) || field.validity.valid || !field.checkVisibility()) return;
  const label = field.labels?.[0]?.querySelector(".legend") ?? field.labels?.[0];
  field.focus();
  throw new FormError(label ? `${label.textContent.trim()}: ${field.validationMessage}` : field.validationMessage);
}

const CHECKED = ["number", "url", "datetime-local"];

/** What is wrong with what was entered. */
export class FormError extends Error {}

/** @param {any} form @param {string} text */
export function mention(form, text) {
  const place = form.querySelector("[data-error]");
  if (place) place.textContent = text;
}

/** A field's text without white space around it. @param {any} form @param {string} name */
export const text = (form, name) => form.elements[name].value.trim();

/** A field's text, or nothing. @param {any} form @param {string} name @returns {string|undefined} */
export const optional = (form, name) => text(form, name) || undefined;

/** A field's number, or null. @param {any} form @param {string} name @returns {number|null} */
export const number = (form, name) => (text(form, name) === "" ? null : Number(text(form, name)));

/** Lines or comma-separated words. @param {string} value */
export const words = (value) => value.split(/[\n,]+/).map((word) => word.trim()).filter((word) => word !== "");

/** A field's local time as milliseconds. @param {any} form @param {string} name @returns {number|undefined} */
export function moment(form, name) {
  const value = text(form, name);
  return value === "" ? undefined : new Date(value).getTime();
}

/** The values of the boxes that are ticked. @param {ParentNode} root @param {string} name @returns {string[]} */
export const ticked = (root, name) => findAll(`input[name="${name}"]:checked`, root).map((box) => box.value);

/** @param {string} value @param {string} what */
export function json(value, what) {
  try {
    return JSON.parse(value);
  } catch {
    throw new FormError(`${what} is not JSON.`);
  }
}

/**
 * Opens a dialog with its form empty; buttons marked `data-close` close it.
 * @param {string} id
 * @returns {any}
 */
export function open(id) {
  const dialog = find(`dialog#${id}`);
  const form = dialog.querySelector("form");
  if (form) {
    form.reset();
    mention(form, "");
  }
  dialog.showModal();
  return dialog;
}

// What is shown once does not go by a slip of the finger.
for (const dialog of findAll('dialog[closedby="none"]')) {
  dialog.addEventListener("cancel", (/** @type {Event} */ event) => event.preventDefault());
}

for (const button of findAll("dialog [data-close]")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}
