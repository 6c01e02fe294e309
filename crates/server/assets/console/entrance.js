/** What sign-in, set-up and invitation have in common. */

import { HOME } from "./api.js";
import { FormError, text } from "./form.js";
import { find } from "./dom.js";

/**
 * The one-time token of this page's link. It is in the fragment, which no server and no log sees,
 * and it leaves the address bar at once.
 * @returns {string} "" if there is none
 */
export function takeToken() {
  const fragment = location.hash.slice(1);
  if (fragment) history.replaceState(null, "", location.pathname + location.search);
  // Another link that is opened in this tab changes nothing but the fragment: the page stays unless it is told.
  addEventListener("hashchange", () => location.reload());
  const token = new URLSearchParams(fragment).get("token") || fragment;
  find("#with-token").hidden = token === "";
  find("#without-token").hidden = token !== "";
  return token;
}

/** The password, entered twice alike. @param {any} form @returns {string} */
export function newPassword(form) {
  const password = form.elements.password.value;
  if ([...password].length < 12) throw new FormError("The password needs at least 12 characters.");
  if (password !== form.elements.again.value) throw new FormError("The two passwords differ.");
  return password;
}

/** @param {any} form @param {string} name @param {string} what */
export function needed(form, name, what) {
  const value = text(form, name);
  if (value === "") {
    form.elements[name].focus();
    throw new FormError(`${what} is missing.`);
  }
  return value;
}

/** Goes where the operator wanted to go, if that is in the Console. */
export function enter() {
  const wanted = new URLSearchParams(location.search).get("next") ?? "";
  let target = new URL(HOME);
  try {
    target = new URL(wanted, HOME);
  } catch {
    // Not an address: the first page, then.
  }
  location.replace(target.href.startsWith(HOME.href) ? target : HOME);
}
