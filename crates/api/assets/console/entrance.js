/** What sign-in, set-up and invitation have in common. */

import { ApiError, HOME, post } from "./api.js";
import { find, findAll } from "./dom.js";
import { FormError, mention, text } from "./form.js";

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
  return new URLSearchParams(fragment).get("token") || fragment;
}

/**
 * Shows the form of a link that can be used, and says of any other that it cannot.
 * @param {string} path what tells
 * @param {string} token
 * @returns {Promise<any>} what is told of the link, if it can be used
 */
export async function checkLink(path, token) {
  if (token === "") return look("without-token");
  try {
    const told = await post(path, { token });
    look("with-token");
    find("#with-token [autofocus]").focus();
    return told;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (isUsed(error)) return look("used");
    // Nothing is known of the link: the form will tell.
    look("with-token");
    mention(find("#with-token form"), error.message);
  }
}

/** Whether a refusal means that the link is of no use: other ones say what is wrong. @param {any} error */
export const isUsed = (error) => error instanceof ApiError && error.code === "forbidden";

/** @param {string} id */
function look(id) {
  for (const part of findAll("[data-link]")) part.hidden = part.id !== id;
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
