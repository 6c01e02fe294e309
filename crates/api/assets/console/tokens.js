/** The workbench of an app: build a token, inspect one, revoke some. */

import { APP, HOME, all, ofApp, post } from "./api.js";
import { copyBox } from "./copy.js";
import { find, findAll, make, show, stamp } from "./dom.js";
import { needed } from "./entrance.js";
import { FormError, json, moment, onSubmit, open, optional, ticked } from "./form.js";
import * as grants from "./grants.js";
import { inspect } from "./inspection.js";
import { complain, say } from "./notice.js";
import { ago, full, plural } from "./time.js";

const build = document.querySelector("#build");
if (build instanceof HTMLFormElement) workbench(build);

/** @param {any} form */
function workbench(form) {
  const editor = find("#client-grants");
  grants.bind(editor);
  form.addEventListener("change", () => {
    for (const part of findAll("[data-access]", form)) part.hidden = part.dataset.access !== form.elements.access.value;
    find("#exp-field").hidden = form.elements.ttl.value !== "exp";
  });
  onSubmit(form, async () => {
    const client = form.elements.access.value === "client";
    const until = moment(form, "exp");
    const byMoment = form.elements.ttl.value === "exp";
    if (byMoment && until === undefined) throw new FormError("Until when is missing.");
    const starts = moment(form, "nbf");
    const profile = optional(form, "profile");
    const areas = ticked(form, "area");
    if (!client && areas.length === 0) throw new FormError("Choose at least one thing that it may manage.");
    const { token } = await post(ofApp("tokens/build"), {
      access: form.elements.access.value,
      identity: client ? needed(form, "identity", "The identity") : undefined,
      device: client ? needed(form, "device", "The device") : undefined,
      grants: client ? grants.read(editor) : { platform: Object.fromEntries(areas.map((area) => [area, true])) },
      ttl_s: byMoment ? undefined : Number(form.elements.ttl.value),
      exp: byMoment && until ? Math.floor(until / 1000) : undefined,
      nbf: starts === undefined ? undefined : Math.floor(starts / 1000),
      jti: optional(form, "jti"),
      aud: optional(form, "aud"),
      key: form.elements.key.value || undefined,
      profile: profile === undefined ? undefined : json(profile, "The profile"),
    });
    const path = client ? "client/v1/me" : `platform/v1/${LISTS[areas[0]] ?? areas[0]}`;
    find("#built-token").replaceChildren(copyBox(token));
    find("#built-curl").replaceChildren(copyBox(`curl -H 'Authorization: Bearer ${token}' ${new URL(`../${path}`, HOME)}`));
    find("#built").hidden = false;
    inspect(token, form.elements.access.value);
  });
  all(ofApp("keys"))
    .then((keys) =>
      find("#build-key").append(
        ...keys
          .filter((key) => key.state !== "revoked" && key.kind === "hmac")
          .map((key) => make("option", { value: key.id }, `${key.label || "Key"} (${key.id.slice(0, 8)}…)`)),
      ),
    )
    .catch(complain);
}

const revocations = find("#revoke-tokens form");
const follow = () => {
  const scope = revocations.elements.scope.value;
  for (const field of findAll("[data-for]", revocations)) field.hidden = !field.dataset.for.split(" ").includes(scope);
};
revocations.addEventListener("change", follow);
revocations.addEventListener("reset", () => setTimeout(follow));
document.querySelector("#new-revocation")?.addEventListener("click", () => open("revoke-tokens"));

onSubmit(revocations, async (form) => {
  const scope = form.elements.scope.value;
  /** @type {Record<string, () => Record<string, unknown>>} */
  const orders = {
    user: () => ({ identity: needed(form, "identity", "The identity") }),
    device: () => ({ identity: needed(form, "identity", "The identity"), device: needed(form, "device", "The device") }),
    jti: () => ({ jti: needed(form, "jti", "The token id") }),
    all: () => ({ all: true }),
  };
  const { closed } = await post(ofApp("revocations"), orders[scope]());
  find("#revoke-tokens").close();
  say(closed > 0 ? `Revoked; ${plural(closed, "connection")} closed.` : "Revoked.");
  await load();
});

async function load() {
  const items = await all(ofApp("revocations"));
  show(
    find("#revocations"),
    items.map((item) =>
      stamp("revocation-row", {
        what: what(item),
        before: full(item.issued_before_ms ?? item.revoked_ms),
        until: ago(item.until_ms, "their end"),
      }),
    ),
  );
}

/** @param {any} item */
function what(item) {
  if (item.jti) return `Token ${item.jti}`;
  if (item.device) return `${item.identity}/${item.device}`;
  return item.identity ? `All of ${item.identity}` : "Every token of this app";
}

if (APP) load().catch(complain);

/** What a token of one area alone can ask for, where that has another name. @type {Record<string, string>} */
const LISTS = { tokens: "revocations", users: "connections" };
