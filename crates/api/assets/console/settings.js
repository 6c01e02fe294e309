/** What an app accepts, how much of it, and its end. */

import { HOME, all, get, ofApp, patch, post } from "./api.js";
import { copyBox } from "./copy.js";
import { fill, find, findAll, make, mayNotWrite, stamp } from "./dom.js";
import { needed } from "./entrance.js";
import { number, onSubmit, open, text, words } from "./form.js";
import { attempt, complain, say } from "./notice.js";
import { plural } from "./time.js";
import { isChanged, leaveAsItIs, mayLeave, saved } from "./unsaved.js";

/** @type {any} */
let app = null;

if (mayNotWrite()) for (const field of findAll("[data-locked]")) field.disabled = true;

/** Asks for the app, and fills the forms that hold no changes. */
async function load() {
  app = await get(ofApp());
  find("#app-id").replaceChildren(copyBox(app.id));
  for (const [id, fill] of Object.entries(FORMS)) {
    const form = find(id);
    if (isChanged(form)) continue;
    await fill(form.elements);
    saved(form);
  }
  if (mayNotWrite()) return;
  const off = Boolean(app.disabled_ms);
  find("#switch").textContent = off ? "Enable" : "Disable";
  find("#switch-title").textContent = off ? "Enable the app" : "Disable the app";
  find("#switch-text").textContent = off
    ? "Its tokens are accepted again; users come back by themselves."
    : "Closes every connection and refuses every token, until it is enabled again.";
}

/** @param {any} fields */
async function fillAbout(fields) {
  fields.name.value = app.name;
  const keys = (await all(ofApp("keys"))).filter((key) => key.kind === "hmac" && key.state === "active");
  find("#signing-key").replaceChildren(
    ...(keys.some((key) => key.id === app.signing_key) ? [] : [make("option", { value: "" }, "None")]),
    ...keys.map((key) => make("option", { value: key.id, selected: key.id === app.signing_key }, key.label || key.id)),
  );
}

/** @param {any} fields */
function fillPolicy(fields) {
  const { settings } = app;
  fields.longest.value = String(settings.longest_ttl_s / 3600);
  fields.unending.checked = !settings.exp_required;
  fields.audiences.value = (settings.audiences ?? []).join("\n");
  fields.origins.value = (settings.origins ?? []).join("\n");
}

const fillLimits = () => find("#limit-fields").replaceChildren(...Object.entries(app.settings.limits ?? {}).map(limit));

/** @type {Record<string, (fields: any) => unknown>} */
const FORMS = { "#rename": fillAbout, "#policy": fillPolicy, "#limits": fillLimits };

/** @param {[string, number|null]} entry */
function limit([name, value]) {
  const field = stamp("limit-field", { name: LIMITS[name] ?? name.replaceAll("_", " ") });
  const input = find("input", field);
  input.name = name;
  input.value = value ?? "";
  input.disabled = mayNotWrite();
  return field;
}

onSubmit(find("#rename"), async (form) => {
  const name = needed(form, "name", "The name");
  const signs = form.elements.signing_key.value;
  await patch(ofApp(), {
    name: name === app.name ? undefined : name,
    signing_key: signs === "" || signs === app.signing_key ? undefined : signs,
  });
  saved(form);
  say("Saved.");
  const renamed = name !== app.name;
  await load();
  // The menu has the name too.
  if (renamed && (await mayLeave())) reload();
});

onSubmit(find("#policy"), async (form) => {
  const hours = number(form, "longest");
  await patch(ofApp(), {
    settings: {
      ...app.settings,
      longest_ttl_s: hours === null ? app.settings.longest_ttl_s : Math.round(hours * 3600),
      exp_required: !form.elements.unending.checked,
      audiences: words(form.elements.audiences.value),
      origins: words(form.elements.origins.value),
    },
  });
  saved(form);
  say("Saved.");
  await load();
});

onSubmit(find("#limits"), async (form) => {
  const limits = Object.fromEntries(Object.keys(app.settings.limits ?? {}).map((name) => [name, number(form, name)]));
  await patch(ofApp(), { settings: { ...app.settings, limits } });
  saved(form);
  say("Saved.");
  await load();
});

document.querySelector("#switch")?.addEventListener("click", (/** @type {any} */ event) =>
  attempt(event.currentTarget, async () => {
    if (!app.disabled_ms) return askToDisable();
    if (!(await mayLeave())) return;
    await post(ofApp("enable"));
    reload();
  }),
);

/** Shows the page as it is now, without what was entered and not saved. */
function reload() {
  leaveAsItIs();
  location.reload();
}

/** Asks, with the connections as they are now. */
async function askToDisable() {
  const { name, connections } = await get(ofApp());
  fill(open("disable-app"), { name, connections: plural(connections, "live connection") });
}

onSubmit(find("#disable-app form"), async () => {
  if (!(await mayLeave())) return;
  await post(ofApp("disable"));
  reload();
});

const deletion = find("#delete-app form");
document.querySelector("#delete")?.addEventListener("click", () => {
  const dialog = open("delete-app");
  fill(dialog, { name: app.name });
  find("#delete-count").textContent = `${plural(app.keys ?? 0, "key")} and ${plural(app.connections ?? 0, "live connection")} end with it.`;
  find("[type=submit]", deletion).disabled = true;
});
deletion.addEventListener("input", () => {
  find("[type=submit]", deletion).disabled = text(deletion, "confirm") !== app.name;
});
onSubmit(deletion, async (form) => {
  await post(ofApp("delete"), { confirm: text(form, "confirm") });
  leaveAsItIs();
  location.assign(HOME);
});

load().catch(complain);

/** @type {Record<string, string>} */
const LIMITS = {
  connections: "Connections at once",
  messages_per_second: "Calls per second and connection",
  devices_per_identity: "Devices per user",
};
