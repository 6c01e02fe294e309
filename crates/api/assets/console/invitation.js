/** Accepts an owner's invitation, or sets a new password by a link of theirs. */

import { post } from "./api.js";
import { find } from "./dom.js";
import { checkLink, enter, needed, newPassword, takeToken } from "./entrance.js";
import { onSubmit } from "./form.js";

const token = takeToken();
checkLink("invitation/check", token).then((told) => {
  if (told) find("#account").textContent = told.email;
});

onSubmit(find("#invitation"), async (form) => {
  const name = needed(form, "name", "A name");
  await post("invitation", { token, name, password: newPassword(form) });
  enter();
});
