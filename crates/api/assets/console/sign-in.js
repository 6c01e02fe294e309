/** Password, then a code if one is wanted; or a passkey alone. */

import { ApiError, post } from "./api.js";
import { find } from "./dom.js";
import { enter, needed } from "./entrance.js";
import { FormError, mention, onSubmit, text } from "./form.js";
import { possible, show } from "./passkey.js";

const form = find("#sign-in");
const steps = { password: find('[data-step="password"]'), code: find('[data-step="code"]') };

onSubmit(form, async () => {
  const email = needed(form, "email", "The e-mail address");
  const password = form.elements.password.value;
  const code = text(form, "code").replaceAll(" ", "");
  try {
    await post("session", { email, password, ...(code && { code }) });
    enter();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    // The password was right a moment ago.
    if (code && error.code === "sign_in_failed") throw new FormError("The code does not fit, or was used already. Wait for the next one.");
    if (error.code !== "totp_required") throw error;
    step("code");
  }
});

find("#back").addEventListener("click", () => {
  form.reset();
  step("password");
});

const button = find("#passkey");
find("#by-passkey").hidden = !possible();
button.addEventListener("click", async () => {
  button.disabled = true;
  mention(form, "");
  try {
    const { id, options } = await post("session/passkey/start");
    await post("session/passkey/finish", { id, credential: await show(options) });
    enter();
  } catch (error) {
    mention(form, error instanceof Error ? error.message : String(error));
  } finally {
    button.disabled = false;
  }
});

/** @param {"password"|"code"} name */
function step(name) {
  steps.password.hidden = name !== "password";
  steps.code.hidden = name !== "code";
  find("#back").hidden = name !== "code";
  find("#by-passkey").hidden = name !== "password" || !possible();
  mention(form, "");
  form.elements[name === "code" ? "code" : "email"].focus();
}
