/** Asks for the password or a passkey before a change of how operators sign in. */

import { ApiError, post } from "./api.js";
import { find } from "./dom.js";
import { mention, onSubmit, open } from "./form.js";
import * as passkey from "./passkey.js";

const dialog = find("#confirm");
const form = find("form", dialog);
const button = find("#confirm-passkey");

/** One question at a time. @type {Promise<void>|null} */
let asked = null;

/** Waits until the session is confirmed; fails if the dialog is closed before. */
export function confirmed() {
  asked ??= ask().finally(() => {
    asked = null;
  });
  return asked;
}

/** @returns {Promise<void>} */
function ask() {
  dialog.returnValue = "";
  button.hidden = !passkey.possible();
  open("confirm");
  return new Promise((resolve, reject) => {
    const over = () => {
      form.reset();
      if (dialog.returnValue === DONE) resolve();
      else reject(new ApiError(403, "confirmation_required", "Nothing was changed: the session was not confirmed."));
    };
    dialog.addEventListener("close", over, { once: true });
  });
}

onSubmit(form, async () => {
  await post("session/confirm", { password: form.elements.password.value });
  dialog.close(DONE);
});

button.addEventListener("click", async () => {
  button.disabled = true;
  mention(form, "");
  try {
    const { id, options } = await post("session/passkey/start");
    await post("session/confirm", { passkey: { id, credential: await passkey.show(options) } });
    dialog.close(DONE);
  } catch (error) {
    mention(form, error instanceof Error ? error.message : String(error));
  } finally {
    button.disabled = false;
  }
});

const DONE = "confirmed";
