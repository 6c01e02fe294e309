/** Values to take away: a click copies them. */

import { findAll, make } from "./dom.js";
import { say } from "./notice.js";

/** A box with a value and a button. @param {string} value @param {string} [label] */
export function copyBox(value, label = "Copy") {
  const button = make("button", { type: "button", class: "button small" }, label);
  button.addEventListener("click", () => copy(value, button));
  return make("div", { class: "copy" }, make(value.includes("\n") ? "pre" : "code", {}, value), button);
}

/** A value that is copied by a click on it. @param {string} value @param {string} what */
export function copyable(value, what) {
  const button = make("button", { type: "button", class: "inline-copy", title: `Copy ${what}` }, value);
  button.addEventListener("click", () => copy(value));
  return button;
}

/** @param {string} value @param {any} [button] */
async function copy(value, button) {
  try {
    await navigator.clipboard.writeText(value);
  } catch {
    // Without a secure context there is no clipboard to write to; a selection still has one.
    const field = make("textarea", { class: "visually-hidden" });
    field.value = value;
    (button?.closest("dialog") ?? document.body).append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
  if (!button) return say("Copied.");
  const label = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = label), 1600);
}

/**
 * Tabs over panels: arrows move, as the pattern wants it.
 * @param {any} place
 * @param {{label: string, panel: Node}[]} tabs
 * @param {string} name of the whole, for screen readers
 */
export function tabs(place, tabs, name) {
  const list = make("div", { class: "tabs", role: "tablist", "aria-label": name });
  const panels = tabs.map((tab, index) => {
    const id = `${place.id}-${index}`;
    list.append(make("button", { type: "button", role: "tab", id: `${id}-tab`, "aria-controls": id }, tab.label));
    return make("div", { role: "tabpanel", id, "aria-labelledby": `${id}-tab` }, tab.panel);
  });
  const buttons = findAll("button", list);
  const choose = (/** @type {number} */ chosen) => {
    buttons.forEach((button, index) => {
      button.setAttribute("aria-selected", String(index === chosen));
      button.tabIndex = index === chosen ? 0 : -1;
      panels[index].hidden = index !== chosen;
    });
  };
  buttons.forEach((button, index) => {
    button.addEventListener("click", () => choose(index));
    button.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = (index + step + buttons.length) % buttons.length;
      choose(next);
      buttons[next].focus();
    });
  });
  choose(0);
  place.replaceChildren(make("div", { class: "stack tight" }, list, ...panels));
}
