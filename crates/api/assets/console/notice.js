/** Short words about what has just happened, read aloud by screen readers. */

import { find, findAll, make } from "./dom.js";

/** @param {string} text */
export const say = (text) => put(text, "good");

/** @param {unknown} error */
export function complain(error) {
  if (!(error instanceof Error)) throw error;
  put(error.message, "bad");
}

/** Runs what a button asks for; a failure is told. @param {any} button @param {() => Promise<unknown>} work */
export async function attempt(button, work) {
  button.disabled = true;
  button.setAttribute("aria-busy", "true");
  try {
    await work();
  } catch (error) {
    complain(error);
  } finally {
    button.disabled = false;
    button.removeAttribute("aria-busy");
  }
}

/** @param {string} text @param {string} kind */
function put(text, kind) {
  const close = make("button", { type: "button", class: "button small plain", "aria-label": "Dismiss" }, "×");
  const notice = make("div", { class: `notice ${kind}`, role: kind === "bad" ? "alert" : "status" }, make("span", {}, text), close);
  close.addEventListener("click", () => notice.remove());
  const place = find("#notices");
  for (const older of findAll(".notice", place)) if (find("span", older).textContent === text) older.remove();
  place.append(notice);
  while (place.childElementCount > 3) place.firstElementChild.remove();
  setTimeout(() => notice.remove(), kind === "bad" ? 12000 : 5000);
}
