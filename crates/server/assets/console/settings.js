/** What an app accepts, how much of it, and its end. */

import { HOME, all, get, ofApp, patch, post } from "./api.js";
import { copyBox } from "./copy.js";
import { fill, find, findAll, make, mayNotWrite, stamp } from "./dom.js";
import { needed } from "./entrance.js";
import { number, onSubmit, open, text, words } from "./form.js";
import { attempt, complain, say } from "./notice.js";
import { plural } from "./time.js";

/** @type {any} */
let app = null;

if (mayNotWrite()) for (const field of findAll("[data-locked]")) field.disabled = true;

async function load() {
  app = await get(ofApp());
  const { settings } = app;
  find("#rename").elements.name.value = app.name;
  find("#app-id").replaceChildren(copyBox(app.id));
  const keys = (await all(ofApp("keys"))).filter((key) => key.kind === "hmac" && key.state === "active");
  find("#signing-key").replaceChildren(
    ...(keys.some((key) => key.id === app.signing_key) ? [] : [make("option", { value: "" }, "None")]),
    ...keys.map((key) => make("option", { value: key.id, selected: key.id === app.signing_key }, key.label || key.id)),
  );
  const policy = find("#policy").elements;
  policy.longest.value = String(settings.longest_ttl_s / 3600);
  policy.unending.checked = !settings.exp_required;
  policy.audiences.value = (settings.audiences ?? []).join("\n");
  policy.origins.value = (settings.origins ?? []).join("\n");
  find("#limit-fields").replaceChildren(...Object.entries(settings.limits ?? {}).map(limit));
  if (mayNotWrite()) return;
  const off = Boolean(app.disabled_ms);
  find("#switch").textContent = off ? "Enable" : "Disable";
  find("#switch-title").textContent = off ? "Enable the app" : "Disable the app";
  find("#switch-text").textContent = off
    ? "Its tokens are accepted again; users come back by themselves."
    : "Closes every connection and refuses every token, until it is enabled again.";
}

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
  say("Saved.");
  // The menu has the name too.
  if (name !== app.name) location.reload();
  else await load();
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
  say("Saved.");
  await load();
});

onSubmit(find("#limits"), async (form) => {
  const limits = Object.fromEntries(Object.keys(app.settings.limits ?? {}).map((name) => [name, number(form, name)]));
  await patch(ofApp(), { settings: { ...app.settings, limits } });
  say("Saved.");
  await load();
});

document.querySelector("#switch")?.addEventListener("click", (/** @type {any} */ event) =>
  attempt(event.currentTarget, async () => {
    await post(ofApp(app.disabled_ms ? "enable" : "disable"));
    location.reload();
  }),
);

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
  location.assign(HOME);
});

load().catch(complain);

/** @type {Record<string, string>} */
const LIMITS = {
  connections: "Connections at once",
  messages_per_second: "Calls per second and connection",
  devices_per_identity: "Devices per user",
};
