/** Keys and API keys of an app: make, import, rotate, revoke. */

import { all, get, ofApp, part, patch, post } from "./api.js";
import { copyBox, copyable, tabs } from "./copy.js";
import { badge, fill, find, findAll, make, on, show, stamp } from "./dom.js";
import { json, moment, onSubmit, open, optional, text } from "./form.js";
import { needed } from "./entrance.js";
import * as grants from "./grants.js";
import { complain, say } from "./notice.js";
import { ago, count, countdown, day, plural } from "./time.js";

/** @type {any[]} */
let keys = [];
/** The key that the open dialog is about. @type {any} */
let chosen = null;
/** Live connections of the key that is to be revoked, and of the keys that it made. */
let live = { own: 0, made: 0 };

async function load() {
  keys = await all(ofApp("keys"));
  show(find("#keys"), keys.map(row));
  const usable = keys.filter((key) => key.state === "active" && key.kind === "hmac");
  find("#create-api-key select").replaceChildren(
    make("option", { value: "" }, "The app’s signing key"),
    ...usable.map((key) => make("option", { value: key.id }, `${name(key)} (${key.id.slice(0, 8)}…)`)),
  );
}

async function loadApiKeys() {
  const items = await all(ofApp("api-keys"));
  const labels = new Map(keys.map((key) => [key.id, name(key)]));
  show(
    find("#api-keys"),
    items.map((item) => {
      const gone = item.revoked_ms !== null && item.revoked_ms !== undefined;
      const line = stamp("api-key-row", {
        label: item.label || "without a label",
        id: copyable(item.id, "the API key"),
        state: gone ? badge("revoked", "bad") : badge("active", "good"),
        key: labels.get(item.key) ?? item.key ?? "–",
        created: ago(item.created_ms),
      });
      on(line, "revoke", () => {
        chosen = item;
        open("revoke-api-key");
      });
      if (gone) for (const button of findAll(".buttons", line)) button.replaceChildren();
      return line;
    }),
  );
}

/** @param {any} key */
function row(key) {
  const line = stamp("key-row", {
    label: name(key),
    id: copyable(key.id, "the key id"),
    state: state(key),
    until: until(key),
    algorithm: key.algorithm ?? "by key set",
    ceiling: key.ceiling ? grants.chips(key.ceiling, "nothing") : make("span", { class: "soft" }, "anything"),
    used: ago(key.last_used_ms, "never"),
    created: ago(key.created_ms),
    connections: count(key.connections),
  });
  for (const dialog of ["rotate", "revoke"]) on(line, dialog, () => ask(dialog, key));
  on(line, "label", () => {
    chosen = key;
    open("relabel");
    find("#relabel-label").value = key.label ?? "";
  });
  const may = { rotate: key.state === "active" && key.kind === "hmac", revoke: key.state !== "revoked" && key.state !== "expired" };
  for (const [action, allowed] of Object.entries(may)) {
    if (!allowed) for (const button of findAll(`[data-action="${action}"]`, line)) button.remove();
  }
  line.dataset.key = key.id;
  return line;
}

/** @param {any} key */
const name = (key) => key.label || "Key without a label";

/** @param {any} key */
function state(key) {
  const kinds = { active: "good", retiring: "warn", revoked: "bad", expired: "bad" };
  const place = make("span", { class: "chips" }, badge(key.state, /** @type {any} */ (kinds)[key.state]));
  if (key.signs && key.state === "active") place.append(badge("signs", "accent"));
  return place;
}

/** @param {any} key */
function until(key) {
  if (key.state === "retiring" && key.retiring_until_ms) {
    return make("span", {}, "ends in ", countdown(key.retiring_until_ms, "no time: it has ended"));
  }
  if (key.expires_ms) return `${key.expires_ms > Date.now() ? "expires" : "expired"} ${day(key.expires_ms)}`;
  return "";
}

/** @param {string} dialog @param {any} key */
async function ask(dialog, key) {
  chosen = key;
  const place = open(dialog);
  fill(place, { label: name(key) });
  if (dialog !== "revoke") return;
  const made = madeBy(key.id);
  find("#revoke-made").hidden = made.length === 0;
  find("#revoke-made-keys").textContent = made.map((other) => `${name(other)} (${other.id.slice(0, 8)}…)`).join(", ");
  live = { own: key.connections ?? 0, made: made.reduce((sum, other) => sum + (other.connections ?? 0), 0) };
  warn();
  const fresh = await get(ofApp(`keys/${part(key.id)}`)).catch(() => key);
  // Another one may have been chosen meanwhile.
  if (chosen !== key) return;
  live.own = fresh.connections ?? 0;
  warn();
}

/** Says what the revocation closes as the form stands. */
function warn() {
  const closed = live.own + (revocation.elements.keep_made.checked ? 0 : live.made);
  find("#revoke-count").textContent = closed > 0 ? `This closes ${plural(closed, "live connection")} at once.` : "No connection is open with it.";
}

/** The keys that stand which a key made by its tokens, and those that they made. @param {string} id @returns {any[]} */
function madeBy(id) {
  const makers = new Set([id]);
  for (let size = 0; size < makers.size; ) {
    size = makers.size;
    for (const key of keys) if (makers.has(key.made_by)) makers.add(key.id);
  }
  return keys.filter((key) => key.id !== id && makers.has(key.id) && key.state !== "revoked");
}

const revocation = find("#revoke form");
const ceiling = find("#key-ceiling");
grants.bind(ceiling);
const create = find("#create-key form");
const followCeiling = () => (ceiling.hidden = create.elements.ceiling.value !== "limited");
create.addEventListener("change", followCeiling);
create.addEventListener("reset", () => setTimeout(followCeiling));
for (const button of findAll("[data-new-key]")) button.addEventListener("click", () => open("create-key"));

onSubmit(create, async (form) => {
  const limited = form.elements.ceiling.value === "limited";
  const granted = limited ? grants.read(ceiling) : undefined;
  if (granted && form.elements.platform.checked) granted.platform = true;
  const made = await post(ofApp("keys"), {
    label: optional(form, "label"),
    algorithm: form.elements.algorithm.value,
    expires_ms: moment(form, "expires"),
    ceiling: granted,
  });
  find("#create-key").close();
  reveal(made, "Your new key", "Give both to your server, by its environment for instance.");
});

const importing = find("#import form");
const followKind = () => {
  const kind = importing.elements.kind.value;
  for (const field of findAll("[data-for]", importing)) field.hidden = !field.dataset.for.split(" ").includes(kind);
};
importing.addEventListener("change", followKind);
importing.addEventListener("reset", () => setTimeout(followKind));
document.querySelector("#import-key")?.addEventListener("click", () => open("import"));

onSubmit(importing, async (form) => {
  const kind = form.elements.kind.value;
  /** @type {Record<string, () => Record<string, unknown>>} */
  const orders = {
    pem: () => ({ pem: needed(form, "document", "The key"), algorithm: form.elements.algorithm.value }),
    jwk: () => ({ jwk: json(needed(form, "document", "The key"), "The key") }),
    jwks: () => ({ jwks: json(needed(form, "document", "The key set"), "The key set") }),
    jwks_url: () => ({ url: needed(form, "url", "The URL") }),
    hmac: () => ({ id: needed(form, "id", "The key id"), secret: needed(form, "secret", "The secret") }),
  };
  const made = await post(ofApp("keys/import"), { kind, label: optional(form, "label"), ...orders[kind]() });
  find("#import").close();
  reveal({ ...made, secret: null, snippets: [] }, "The key is registered", "Your tokens name it as iss.");
});

onSubmit(find("#rotate form"), async (form) => {
  const made = await post(ofApp(`keys/${part(chosen.id)}/rotate`), { overlap_ms: Number(form.elements.overlap.value) });
  find("#rotate").close();
  reveal(made, "The new key", "Put it in the place of the old one before the overlap is over.");
});

revocation.addEventListener("change", warn);
onSubmit(revocation, async (form) => {
  const keep_made = form.elements.keep_made.checked;
  const { closed, made } = await post(ofApp(`keys/${part(chosen.id)}/revoke`), { keep_made });
  find("#revoke").close();
  const also = made.length > 0 ? `Revoked, with ${plural(made.length, "key")} that it made` : "Revoked";
  say(closed > 0 ? `${also}; ${plural(closed, "connection")} closed.` : `${also}.`);
  await refresh();
});

onSubmit(find("#relabel form"), async (form) => {
  await patch(ofApp(`keys/${part(chosen.id)}`), { label: text(form, "label") });
  find("#relabel").close();
  await refresh();
});

document.querySelector("#new-api-key")?.addEventListener("click", () => open("create-api-key"));
onSubmit(find("#create-api-key form"), async (form) => {
  await post(ofApp("api-keys"), { label: optional(form, "label"), key: form.elements.key.value || undefined });
  find("#create-api-key").close();
  say("The API key is made.");
  await loadApiKeys();
});

onSubmit(find("#revoke-api-key form"), async () => {
  await post(ofApp(`api-keys/${part(chosen.id)}/revoke`));
  find("#revoke-api-key").close();
  say("Revoked.");
  await loadApiKeys();
});

/**
 * Shows a key that was just made. Its secret is in this dialog only, and leaves it when it closes.
 * @param {any} made @param {string} title @param {string} lede
 */
function reveal(made, title, lede) {
  const dialog = find("#made");
  const secret = made.secret ?? null;
  find("#made-title").textContent = title;
  find("#made-lede").textContent = lede;
  find("#made-id").replaceChildren(copyBox(made.key.id));
  find("#made-secret").replaceChildren(...(secret ? [copyBox(secret)] : []));
  for (const part of ["#made-secret-field", "#made-warning"]) find(part).hidden = secret === null;
  const snippets = made.snippets ?? [];
  find("#made-snippets-field").hidden = snippets.length === 0;
  if (snippets.length > 0) {
    tabs(
      find("#made-snippets"),
      snippets.map((/** @type {any} */ snippet) => ({ label: LANGUAGES[snippet.language] ?? snippet.language, panel: copyBox(snippet.text) })),
      "Language",
    );
  }
  find("[data-close]", dialog).textContent = secret ? "I have copied it" : "Done";
  dialog.showModal();
  dialog.scrollTop = 0;
  find("#made-title").focus();
}

find("#made").addEventListener("close", () => {
  for (const place of ["#made-id", "#made-secret", "#made-snippets"]) find(place).replaceChildren();
  refresh().catch(complain);
});

const refresh = () => load().then(loadApiKeys);
refresh().catch(complain);

/** @type {Record<string, string>} */
const LANGUAGES = { curl: "curl", rust: "Rust", node: "Node", python: "Python", php: "PHP", java: "Java", go: "Go" };
