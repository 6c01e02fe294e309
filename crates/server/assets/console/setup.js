/** Makes the first operator with the link from the terminal. */

import { post } from "./api.js";
import { find } from "./dom.js";
import { needed, enter, newPassword, takeToken } from "./entrance.js";
import { onSubmit } from "./form.js";

const token = takeToken();

onSubmit(find("#setup"), async (form) => {
  const email = needed(form, "email", "The e-mail address");
  const name = needed(form, "name", "A name");
  await post("setup", { token, email, name, password: newPassword(form) });
  enter();
});
