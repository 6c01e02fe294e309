/** Accepts an owner's invitation, or sets a new password by a link of theirs. */

import { post } from "./api.js";
import { find } from "./dom.js";
import { enter, needed, newPassword, takeToken } from "./entrance.js";
import { onSubmit } from "./form.js";

const token = takeToken();

onSubmit(find("#invitation"), async (form) => {
  const name = needed(form, "name", "A name");
  await post("invitation", { token, name, password: newPassword(form) });
  enter();
});
