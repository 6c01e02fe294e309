/** Who may sign in, as what, to which apps. */

import { all, part, patch, post, remove } from "./api.js";
import { copyBox } from "./copy.js";
import { badge, fill, find, findAll, on, show, stamp } from "./dom.js";
import { needed } from "./entrance.js";
import { FormError, onSubmit, open, ticked } from "./form.js";
import { complain, say } from "./notice.js";
import { ago } from "./time.js";

const dialog = find("#operator");
const form = find("#operator form");
/** @type {any} */
let chosen = null;
/** @type {any[]} */
let apps = [];

async function load() {
  apps = await all("apps");
  const names = new Map(apps.map((app) => [app.id, app.name]));
  const operators = await all("operators");
  show(
    find("#operators"),
    operators.map((operator) => {
      const line = stamp("operator-row", {
        name: operator.state === "invited" ? "Not here yet" : operator.name,
        email: operator.email,
        role: operator.role,
        apps: operator.apps ? operator.apps.map((/** @type {string} */ id) => names.get(id) ?? id).join(", ") || "none" : "all",
        state: state(operator),
        seen: ago(operator.last_sign_in_ms, "never"),
      });
      on(line, "edit", () => edit(operator));
      on(line, "link", () => ask("new-link", operator));
      on(line, "delete", () => ask("remove-operator", operator));
      if (operator.id === document.documentElement.dataset.operator) {
        for (const button of findAll('[data-action="delete"], [data-action="link"]', line)) button.remove();
      }
      return line;
    }),
  );
}

/** @param {any} operator */
function state(operator) {
  return badge(operator.state, { active: "good", invited: "warn", disabled: "bad" }[/** @type {string} */ (operator.state)]);
}

/** @param {string} id @param {any} operator */
function ask(id, operator) {
  chosen = operator;
  fill(open(id), { email: operator.email });
}

/** @param {any} operator null for a new one */
function edit(operator) {
  chosen = operator;
  open("operator");
  fill(dialog, { title: operator ? operator.email : "Invite an operator", submit: operator ? "Save" : "Make invitation" });
  find("#operator-email").hidden = Boolean(operator);
  find("#operator-disabled").hidden = !operator;
  find("#app-choices").replaceChildren(
    ...apps.map((app) => {
      const choice = stamp("app-choice", { name: app.name });
      const box = find("input", choice);
      box.value = app.id;
      box.checked = operator?.apps?.includes(app.id) ?? false;
      return choice;
    }),
  );
  if (operator) {
    form.elements.role.value = operator.role;
    form.elements.reach.value = operator.apps ? "some" : "all";
    form.elements.disabled.checked = Boolean(operator.disabled_ms);
  }
  follow();
}

const follow = () => {
  find("#operator-apps").hidden = form.elements.role.value === "owner";
  find("#app-choices").hidden = form.elements.reach.value !== "some";
};
form.addEventListener("change", follow);
find("#invite").addEventListener("click", () => edit(null));

onSubmit(form, async () => {
  const role = form.elements.role.value;
  const some = role !== "owner" && form.elements.reach.value === "some";
  const reach = { role, apps: some ? ticked(form, "app") : null };
  if (some && reach.apps?.length === 0) throw new FormError("Choose at least one app, or all.");
  if (chosen) {
    await patch(`operators/${part(chosen.id)}`, { ...reach, disabled: form.elements.disabled.checked });
    dialog.close();
    say("Saved.");
  } else {
    const made = await post("operators", { email: needed(form, "email", "The e-mail address"), ...reach });
    dialog.close();
    showLink(made.operator.email, made.invitation_url);
  }
  await load();
});

onSubmit(find("#new-link form"), async () => {
  const made = await post(`operators/${part(chosen.id)}/invitation`);
  find("#new-link").close();
  showLink(chosen.email, made.invitation_url);
});

onSubmit(find("#remove-operator form"), async () => {
  await remove(`operators/${part(chosen.id)}`);
  find("#remove-operator").close();
  say("Removed.");
  await load();
});

/** @param {string} email @param {string} url */
function showLink(email, url) {
  fill(open("link"), { email });
  find("#link-value").replaceChildren(copyBox(url));
}
find("#link").addEventListener("close", () => find("#link-value").replaceChildren());

load().catch(complain);
