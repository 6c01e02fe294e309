/** The Auth Service of an app: who is let in, and how. */

import { get, ofApp, put } from "./api.js";
import { badge, fill, find, findAll, mayNotWrite, on, show, stamp } from "./dom.js";
import { needed } from "./entrance.js";
import { number, onSubmit, open, optional } from "./form.js";
import * as grants from "./grants.js";
import { complain, say } from "./notice.js";

/** @type {any} */
let settings = null;
/** @type {any} */
let chosen = null;

const editor = find("#anonymous-grants");
grants.bind(editor);
if (mayNotWrite()) for (const field of findAll("[data-locked]")) field.disabled = true;

async function load() {
  settings = await get(ofApp("sign-in"));
  const { anonymous, oidc = [], external, refresh } = settings;
  const first = find("#anonymous").elements;
  first.enabled.checked = Boolean(anonymous?.enabled);
  if (anonymous?.ttl_s) first.ttl.value = String(Math.round(anonymous.ttl_s / 60));
  if (anonymous?.grants) grants.write(editor, anonymous.grants);
  show(find("#providers"), oidc.map(row));
  const own = find("#external").elements;
  own.enabled.checked = external ? external.enabled !== false && Boolean(external.url) : false;
  own.url.value = external?.url ?? "";
  const again = find("#refresh").elements;
  again.enabled.checked = refresh ? refresh.enabled !== false && Boolean(refresh.ttl_s) : false;
  if (refresh?.ttl_s) again.ttl.value = String(Math.max(1, Math.round(refresh.ttl_s / 86400)));
  for (const name of ["anonymous", "external", "refresh"]) {
    const ticked = find(`#${name}`).elements.enabled.checked;
    find(`#${name}-state`).replaceChildren(ticked ? badge("on", "good") : badge("off"));
  }
}

/** @param {any} provider */
function row(provider) {
  const line = stamp("provider-row", {
    id: provider.id,
    preset: PRESETS[provider.preset] ?? "OpenID provider",
    issuer: provider.issuer ?? "–",
    client: provider.client_id,
  });
  on(line, "edit", () => edit(provider));
  on(line, "delete", () => {
    chosen = provider;
    fill(open("remove-provider"), { id: provider.id });
  });
  return line;
}

/** @param {any} change */
async function save(change) {
  const { anonymous, oidc, external, refresh } = settings;
  await put(ofApp("sign-in"), { anonymous, oidc, external, refresh, ...change });
  say("Saved.");
  await load();
}

onSubmit(find("#anonymous"), (form) =>
  save({ anonymous: { enabled: form.elements.enabled.checked, ttl_s: (number(form, "ttl") ?? 60) * 60, grants: grants.read(editor) } }),
);
onSubmit(find("#external"), (form) =>
  save({ external: form.elements.enabled.checked ? { ...settings.external, url: needed(form, "url", "The URL") } : null }),
);
onSubmit(find("#refresh"), (form) =>
  save({ refresh: form.elements.enabled.checked ? { ttl_s: (number(form, "ttl") ?? 30) * 86400 } : null }),
);

/** @param {any} provider null for a new one */
function edit(provider) {
  chosen = provider;
  const dialog = open("provider");
  fill(dialog, { title: provider ? `Edit ${provider.id}` : "Add a provider" });
  const { elements } = find("form", dialog);
  elements.id.disabled = Boolean(provider);
  if (!provider) return;
  elements.preset.value = provider.preset ?? "";
  for (const name of ["id", "issuer", "client_id", "identity_template"]) elements[name].value = provider[name] ?? "";
  elements.scopes.value = [provider.scopes ?? []].flat().join(" ");
}
for (const button of findAll("[data-new-provider]")) button.addEventListener("click", () => edit(null));

onSubmit(find("#provider form"), async (form) => {
  const scopes = optional(form, "scopes")?.split(/\s+/);
  const provider = {
    ...chosen,
    id: chosen?.id ?? needed(form, "id", "The name"),
    preset: form.elements.preset.value || undefined,
    issuer: optional(form, "issuer"),
    client_id: needed(form, "client_id", "The client id"),
    client_secret: form.elements.client_secret.value || undefined,
    scopes,
    identity_template: optional(form, "identity_template"),
  };
  const others = settings.oidc.filter((/** @type {any} */ other) => other.id !== provider.id);
  await save({ oidc: [...others, provider] });
  find("#provider").close();
});

onSubmit(find("#remove-provider form"), async () => {
  await save({ oidc: settings.oidc.filter((/** @type {any} */ other) => other.id !== chosen.id) });
  find("#remove-provider").close();
});

load().catch(complain);

/** @type {Record<string, string>} */
const PRESETS = { google: "Google", apple: "Apple", github: "GitHub", facebook: "Facebook" };
