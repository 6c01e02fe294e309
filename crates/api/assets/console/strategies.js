/** The Auth Service of an app: who is let in, and how. */

import { get, ofApp, post, put } from "./api.js";
import { badge, fill, find, findAll, make, mayNotWrite, on, show, stamp } from "./dom.js";
import { needed } from "./entrance.js";
import { number, onSubmit, open, optional, text, words } from "./form.js";
import * as grants from "./grants.js";
import { complain, say } from "./notice.js";
import { plural } from "./time.js";
import { isChanged, saved } from "./unsaved.js";

/** @type {any} */
let settings = null;
/** @type {any} */
let chosen = null;

/** What the server grants unless it is told. */
const EVERYTHING = { signal: true, chat: true, video: true, push: true };

const editors = { anonymous: find("#anonymous-grants"), external: find("#external-grants"), provider: find("#provider-grants") };
for (const editor of Object.values(editors)) grants.bind(editor);
if (mayNotWrite()) for (const field of findAll("[data-locked]")) field.disabled = true;

/** Asks for the settings, and fills the forms that hold no changes. */
async function load() {
  settings = await get(ofApp("sign-in"));
  show(find("#providers"), (settings.oidc ?? []).map(row));
  for (const [id, fill] of Object.entries(FORMS)) {
    const form = find(id);
    if (isChanged(form)) continue;
    fill(form.elements);
    saved(form);
  }
  for (const name of ["anonymous", "external", "refresh"]) {
    find(`#${name}-state`).replaceChildren(ON[name]() ? badge("on", "good") : badge("off"));
  }
}

/** Which of them are on. @type {Record<string, () => boolean>} */
const ON = {
  anonymous: () => Boolean(settings.anonymous?.enabled),
  external: () => (settings.external ? settings.external.enabled !== false && Boolean(settings.external.url) : false),
  refresh: () => (settings.refresh ? settings.refresh.enabled !== false && Boolean(settings.refresh.ttl_s) : false),
};

/** @type {Record<string, (fields: any) => void>} */
const FORMS = {
  "#anonymous"(fields) {
    const { anonymous } = settings;
    fields.enabled.checked = ON.anonymous();
    if (anonymous?.per_minute) fields.per_minute.value = String(anonymous.per_minute);
    fields.ttl.value = minutes(anonymous?.ttl_s);
    if (anonymous?.grants) grants.write(editors.anonymous, anonymous.grants);
  },
  "#external"(fields) {
    const { external } = settings;
    fields.enabled.checked = ON.external();
    fields.url.value = external?.url ?? "";
    fields.cookies.value = (external?.cookies ?? []).join(", ");
    fields.prefix.value = external?.prefix ?? "";
    fields.ttl.value = minutes(external?.ttl_s);
    fields.shares_identities.checked = Boolean(external?.shares_identities);
    grants.write(editors.external, external?.grants ?? EVERYTHING);
  },
  "#refresh"(fields) {
    const { refresh } = settings;
    fields.enabled.checked = ON.refresh();
    if (refresh?.ttl_s) fields.ttl.value = String(Math.max(1, Math.round(refresh.ttl_s / 86400)));
  },
  "#redirects"(fields) {
    fields.uris.value = (settings.redirect_uris ?? []).join("\n");
  },
};

/** @param {any} provider */
function row(provider) {
  const line = stamp("provider-row", {
    id: provider.id,
    preset: PRESETS[provider.preset] ?? "OpenID provider",
    issuer: provider.issuer ?? "–",
    client: make("span", {}, provider.client_id, " ", provider.enabled === false && badge("off")),
  });
  on(line, "edit", () => edit(provider));
  on(line, "delete", () => {
    chosen = provider;
    fill(open("remove-provider"), { id: provider.id });
  });
  return line;
}

/** @param {any} change @param {any} [form] where it was entered */
async function save(change, form) {
  await put(ofApp("sign-in"), { ...settings, ...change });
  if (form) saved(form);
  say("Saved.");
  await load();
}

onSubmit(find("#anonymous"), (form) =>
  save({
    anonymous: {
      enabled: form.elements.enabled.checked,
      ttl_s: seconds(form, settings.anonymous?.ttl_s),
      per_minute: number(form, "per_minute") ?? 600,
      grants: grants.read(editors.anonymous),
    },
  }, form),
);
onSubmit(find("#external"), (form) =>
  save({ external: own(form) }, form),
);
onSubmit(find("#refresh"), (form) =>
  save({ refresh: { enabled: form.elements.enabled.checked, ttl_s: (number(form, "ttl") ?? 30) * 86400 } }, form),
);
onSubmit(find("#redirects"), (form) => save({ redirect_uris: words(form.elements.uris.value) }, form));

document.querySelector("#sign-out-all")?.addEventListener("click", () => open("sign-out-users"));
onSubmit(find("#sign-out-users form"), async () => {
  const { ended } = await post(ofApp("sign-in/sign-out"), {});
  find("#sign-out-users").close();
  say(`${plural(ended, "session")} ended.`);
});

/** The app's own sign-in as it is to be; none if it never was. @param {any} form */
function own(form) {
  const enabled = form.elements.enabled.checked;
  if (!enabled && !settings.external) return null;
  return {
    ...settings.external,
    enabled,
    url: needed(form, "url", "The URL"),
    cookies: words(form.elements.cookies.value),
    prefix: text(form, "prefix"),
    ttl_s: seconds(form, settings.external?.ttl_s),
    shares_identities: form.elements.shares_identities.checked,
    grants: grants.read(editors.external),
  };
}

/** @param {number|undefined} seconds */
const minutes = (seconds) => String(Math.max(1, Math.round((seconds ?? 3600) / 60)));

/** The life that a form says, or the one that was: it may have had seconds, which no field shows. @param {any} form @param {number} [was] */
function seconds(form, was) {
  const value = number(form, "ttl") ?? 60;
  return was !== undefined && minutes(was) === String(value) ? was : value * 60;
}

/** The profile's members as they are typed: `name, photo=picture`. @param {any} profile */
const asText = (profile) =>
  Object.entries(profile ?? {}).map(([member, claim]) => (member === claim ? member : `${member}=${claim}`)).join(", ");

/** @param {string} typed */
const asProfile = (typed) =>
  Object.fromEntries(words(typed).map((word) => {
    const [member, claim = member] = word.split("=").map((part) => part.trim());
    return [member, claim];
  }));

/** @param {any} provider null for a new one */
function edit(provider) {
  chosen = provider;
  const dialog = open("provider");
  fill(dialog, { title: provider ? `Edit ${provider.id}` : "Add a provider" });
  const { elements } = find("form", dialog);
  elements.id.disabled = Boolean(provider);
  for (const hint of findAll("[data-known]", dialog)) hint.hidden = !provider?.client_secret_set;
  find("details", dialog).open = false;
  // After the reset, which the editors follow a moment later.
  setTimeout(() => grants.write(editors.provider, provider?.grants ?? EVERYTHING));
  setTimeout(follow);
  if (!provider) return;
  elements.preset.value = provider.preset ?? "oidc";
  elements.enabled.checked = provider.enabled !== false;
  for (const name of ["team_id", "key_id"]) elements[name].value = provider[name] ?? "";
  for (const name of ["id", "issuer", "client_id", "identity_template"]) elements[name].value = provider[name] ?? "";
  elements.scopes.value = [provider.scopes ?? []].flat().join(" ");
  elements.other_client_ids.value = (provider.other_client_ids ?? []).join(", ");
  elements.ttl.value = minutes(provider.ttl_s);
  elements.profile.value = asText(provider.profile);
}
const follow = () => {
  const preset = find("#provider-preset").value;
  for (const field of findAll("#provider [data-for]")) field.hidden = !field.dataset.for.split(" ").includes(preset);
};
find("#provider-preset").addEventListener("change", follow);
for (const button of findAll("[data-new-provider]")) button.addEventListener("click", () => edit(null));

onSubmit(find("#provider form"), async (form) => {
  const preset = form.elements.preset.value;
  const scopes = optional(form, "scopes")?.split(/\s+/);
  const provider = {
    ...chosen,
    id: chosen?.id ?? needed(form, "id", "The name"),
    preset,
    enabled: form.elements.enabled.checked,
    issuer: preset === "oidc" ? optional(form, "issuer") : undefined,
    ...(preset === "apple" && { team_id: optional(form, "team_id"), key_id: optional(form, "key_id") }),
    client_id: needed(form, "client_id", "The client id"),
    client_secret: (preset === "apple" ? optional(form, "private_key") : form.elements.client_secret.value) || undefined,
    scopes,
    identity_template: optional(form, "identity_template"),
    other_client_ids: words(form.elements.other_client_ids.value),
    ttl_s: seconds(form, chosen?.ttl_s),
    profile: asProfile(form.elements.profile.value),
    grants: grants.read(editors.provider),
  };
  const known = settings.oidc.some((/** @type {any} */ other) => other.id === provider.id);
  const replaced = settings.oidc.map((/** @type {any} */ other) => (other.id === provider.id ? provider : other));
  await save({ oidc: known ? replaced : [...settings.oidc, provider] });
  find("#provider").close();
});

onSubmit(find("#remove-provider form"), async () => {
  await save({ oidc: settings.oidc.filter((/** @type {any} */ other) => other.id !== chosen.id) });
  find("#remove-provider").close();
});

load().catch(complain);

/** @type {Record<string, string>} */
const PRESETS = { google: "Google", apple: "Apple", github: "GitHub", facebook: "Facebook" };
