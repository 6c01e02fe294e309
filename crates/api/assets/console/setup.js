/** Makes the first operator with the link from the terminal. */

import { post } from "./api.js";
import { find } from "./dom.js";
import { checkLink, enter, isUsed, needed, newPassword, takeToken } from "./entrance.js";
import { FormError, onSubmit } from "./form.js";

const token = takeToken();
checkLink("setup/check", token);

onSubmit(find("#setup"), async (form) => {
  const email = needed(form, "email", "The e-mail address");
  const name = needed(form, "name", "A name");
  const password = newPassword(form);
  await post("setup", { token, email, name, password }).catch((error) => {
    if (!isUsed(error)) throw error;
    throw new FormError("This link is of no use any more. As long as there is no operator, the server writes a new one when it starts.");
  });
  enter();
});
