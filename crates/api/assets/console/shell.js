/** What every page of a signed-in operator has: the menu, the app switch, the scheme, the way out. */

import { APP, HOME, all, part, remove } from "./api.js";
import { find, findAll, make, mayNotWrite } from "./dom.js";
import { attempt, complain } from "./notice.js";
import { leaveAsItIs, mayLeave } from "./unsaved.js";

if (mayNotWrite()) for (const element of findAll("[data-write]")) element.remove();

const menu = find("#menu");
menu.addEventListener("click", () => {
  const open = find("#side").classList.toggle("open");
  menu.setAttribute("aria-expanded", String(open));
});

find("#sign-out").addEventListener("click", (/** @type {any} */ event) =>
  attempt(event.currentTarget, async () => {
    if (!(await mayLeave())) return;
    await remove("session");
    leaveAsItIs();
    location.assign(new URL("sign-in", HOME));
  }),
);

const SCHEMES = ["system", "light", "dark"];
const scheme = find("#scheme");
const showScheme = () => {
  const chosen = document.documentElement.dataset.theme ?? "system";
  scheme.textContent = { system: "◐ Auto", light: "○ Light", dark: "● Dark" }[chosen] ?? chosen;
  scheme.setAttribute("aria-label", `Colours: ${chosen}`);
  return chosen;
};
scheme.addEventListener("click", () => {
  const next = SCHEMES[(SCHEMES.indexOf(showScheme()) + 1) % SCHEMES.length] ?? "system";
  if (next === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem("hexline-theme", next);
  } catch {
    // It holds for this page, then.
  }
  showScheme();
});
showScheme();

const choice = document.querySelector("#app-switch");
if (choice instanceof HTMLSelectElement) {
  all("apps")
    .then((apps) => {
      choice.replaceChildren(
        ...apps.map((app) => make("option", { value: app.id, selected: app.id === APP }, app.name)),
      );
    })
    .catch(complain);
  choice.addEventListener("change", async () => {
    if (!(await mayLeave())) {
      choice.value = APP;
      return;
    }
    leaveAsItIs();
    location.assign(new URL(`apps/${part(choice.value)}/${choice.dataset.page}`, HOME));
  });
}
