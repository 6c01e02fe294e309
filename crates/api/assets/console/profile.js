/** The operator's own things: name, password, second factor, passkeys, sessions. */

import { all, get, part, patch, post, remove } from "./api.js";
import { copyBox } from "./copy.js";
import { badge, find, findAll, make, on, show, stamp } from "./dom.js";
import { needed } from "./entrance.js";
import { FormError, onSubmit, open, optional, text } from "./form.js";
import { attempt, complain, say } from "./notice.js";
import * as passkey from "./passkey.js";
import { ago, day } from "./time.js";
import { saved } from "./unsaved.js";

async function load() {
  const profile = await get("profile");
  const on = Boolean(profile.totp);
  find("#totp-state").replaceChildren(on ? badge("on", "good") : badge("off"));
  find("#totp-start").hidden = on;
  find("#totp-end").hidden = !on;
  await Promise.all([loadPasskeys(), loadSessions()]);
}

async function loadPasskeys() {
  const items = await all("profile/passkeys");
  show(
    find("#passkeys"),
    items.map((item) => {
      const line = stamp("passkey-row", { name: item.name || item.label || "Passkey", created: ago(item.created_ms), used: ago(item.last_used_ms, "never") });
      on(line, "delete", (event) =>
        attempt(event.currentTarget, async () => {
          await remove(`profile/passkeys/${part(item.id)}`);
          say("Removed.");
          await loadPasskeys();
        }),
      );
      return line;
    }),
  );
  find("#new-passkey").hidden = !passkey.possible();
}

async function loadSessions() {
  const items = await all("profile/sessions");
  show(
    find("#sessions"),
    items.map((item) => {
      const line = stamp("session-row", {
        agent: browser(item.user_agent ?? item.agent),
        current: item.current ? badge("this one", "accent") : "",
        remote: item.remote ?? item.peer ?? item.address ?? "–",
        created: ago(item.created_ms),
        seen: ago(item.seen_ms ?? item.last_seen_ms ?? item.last_used_ms, "–"),
      });
      if (item.current) for (const button of findAll("button", line)) button.remove();
      on(line, "end", (event) =>
        attempt(event.currentTarget, async () => {
          await remove(`profile/sessions/${part(item.id)}`);
          say("Ended.");
          await loadSessions();
        }),
      );
      return line;
    }),
  );
}

/** A browser's own words, made short. @param {string|null|undefined} agent */
function browser(agent) {
  if (!agent) return "Unknown browser";
  const name = BROWSERS.find(([mark]) => agent.includes(mark))?.[1] ?? agent.slice(0, 40);
  const system = SYSTEMS.find(([mark]) => agent.includes(mark))?.[1];
  return system ? `${name} on ${system}` : name;
}

onSubmit(find("#profile-name"), async (form) => {
  await patch("profile", { name: needed(form, "name", "The name") });
  saved(form);
  say("Saved.");
});

onSubmit(find("#password-form"), async (form) => {
  const fresh = form.elements.new.value;
  if ([...fresh].length < 12) throw new FormError("The new password needs at least 12 characters.");
  const { passkeys } = await post("profile/password", { new: fresh });
  form.reset();
  say("The password is changed.");
  if (passkeys.length > 0) {
    showLeft(passkeys);
    open("left");
  }
  await loadSessions();
});

/** The passkeys that still sign in after the password has changed. @param {any[]} passkeys */
function showLeft(passkeys) {
  if (passkeys.length === 0) find("#left").close();
  find("#left-passkeys").replaceChildren(
    ...passkeys.map((passkey) => {
      const line = stamp("left-row", { name: passkey.label, created: day(passkey.created_ms), used: ago(passkey.last_used_ms, "never") });
      on(line, "delete", (event) =>
        attempt(event.currentTarget, async () => {
          await remove(`profile/passkeys/${part(passkey.id)}`);
          showLeft(passkeys.filter((other) => other !== passkey));
          say("Removed.");
          await loadPasskeys();
        }),
      );
      return line;
    }),
  );
}

find("#totp-start").addEventListener("click", (/** @type {any} */ event) =>
  attempt(event.currentTarget, async () => {
    const { secret, svg } = await post("profile/totp");
    open("totp");
    find("#totp-picture").replaceChildren(make("img", { src: `data:image/svg+xml,${part(svg)}`, alt: "Code to scan" }));
    find("#totp-secret").replaceChildren(copyBox(secret));
    find("#totp-code").focus();
  }),
);
find("#totp").addEventListener("close", () => {
  for (const place of ["#totp-picture", "#totp-secret"]) find(place).replaceChildren();
});

onSubmit(find("#totp form"), async (form) => {
  const made = await post("profile/totp/confirm", { code: text(form, "code").replaceAll(" ", "") });
  find("#totp").close();
  const codes = made?.recovery_codes ?? made?.codes ?? [];
  if (codes.length > 0) {
    find("#recovery-copy").replaceChildren(copyBox(codes.join("\n"), "Copy all"));
    find("#recovery").showModal();
  }
  await load();
});
find("#recovery").addEventListener("close", () => {
  find("#recovery-copy").replaceChildren();
});

find("#totp-end").addEventListener("click", () => open("totp-remove"));
onSubmit(find("#totp-remove form"), async () => {
  await post("profile/totp/remove");
  find("#totp-remove").close();
  say("Switched off.");
  await load();
});

find("#new-passkey").addEventListener("click", () => open("passkey"));
onSubmit(find("#passkey form"), async (form) => {
  const { id, options } = await post("profile/passkeys/start");
  const credential = await passkey.make(options).catch((error) => {
    throw new FormError(error.message);
  });
  await post("profile/passkeys/finish", { id, label: optional(form, "name"), credential });
  find("#passkey").close();
  say("The passkey is added.");
  await loadPasskeys();
});

saved(find("#profile-name"));
load().catch(complain);

const BROWSERS = [["Edg/", "Edge"], ["OPR/", "Opera"], ["Firefox/", "Firefox"], ["Chrome/", "Chrome"], ["Safari/", "Safari"]];
const SYSTEMS = [["Windows", "Windows"], ["Android", "Android"], ["iPhone", "iPhone"], ["iPad", "iPad"], ["Mac OS", "macOS"], ["Linux", "Linux"]];
