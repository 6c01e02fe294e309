/**
 * The Console API, as pages speak it.
 *
 * Every path is relative to where this module was loaded from, so that it holds below any prefix.
 */

/** Where the Console stands, with a slash at its end. */
export const HOME = new URL("../../", import.meta.url);

const API = new URL("api/", HOME);

/** What the server answers when it does not do as told. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} code
   * @param {string} message
   * @param {unknown} [details]
   */
  constructor(status, code, message, details) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = details;
  }
}

/**
 * @param {string} method
 * @param {string} path below /console/api/, parts already encoded
 * @param {unknown} [body]
 * @returns {Promise<any>} the answer's JSON; `null` if it has none
 */
export async function call(method, path, body) {
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json" };
  if (method !== "GET") {
    headers["X-Hexline-Console"] = "1";
    headers["Content-Type"] = "application/json";
  }
  let response;
  try {
    response = await fetch(new URL(path, API), {
      method,
      headers,
      body: method === "GET" ? undefined : JSON.stringify(body ?? {}),
      credentials: "same-origin",
      redirect: "error",
    });
  } catch {
    throw new ApiError(0, "unreachable", "The server cannot be reached. Is it running?");
  }
  const text = await response.text();
  let answer = null;
  try {
    answer = text === "" ? null : JSON.parse(text);
  } catch {
    // An answer that is not JSON comes from something in between.
  }
  if (response.ok) return answer;
  const error = failure(response, answer);
  if (error.code === UNCONFIRMED && document.querySelector("#confirm")) {
    const { confirmed } = await import("./confirm.js");
    await confirmed();
    return call(method, path, body);
  }
  if (error.code === OUT && document.documentElement.dataset.operator) leave();
  throw error;
}

/** @param {string} path @param {Record<string, unknown>} [query] */
export const get = (path, query) => call("GET", path + search(query));
/** @param {string} path @param {unknown} [body] */
export const post = (path, body) => call("POST", path, body);
/** @param {string} path @param {unknown} body */
export const patch = (path, body) => call("PATCH", path, body);
/** @param {string} path @param {unknown} body */
export const put = (path, body) => call("PUT", path, body);
/** @param {string} path */
export const remove = (path) => call("DELETE", path);

/** Everything of a list, page by page, up to a thousand.
 * @param {string} path @param {Record<string, unknown>} [query] @returns {Promise<any[]>} */
export async function all(path, query) {
  const items = [];
  let cursor = null;
  do {
    const page = await get(path, { ...query, limit: 200, cursor });
    items.push(...page.items);
    cursor = page.next;
  } while (cursor && items.length < 1000);
  return items;
}

/** The address of something below the API, for a link or a stream.
 * @param {string} path @param {Record<string, unknown>} [query] */
export const address = (path, query) => new URL(path + search(query), API).href;

/** A part of a path. @param {string} text */
export const part = (text) => encodeURIComponent(text);

/** The app that this page is about; "" where it is about none. */
export const APP = document.documentElement.dataset.app ?? "";

/** A path below that app. @param {string} [rest] */
export const ofApp = (rest = "") => `apps/${part(APP)}${rest && `/${rest}`}`;

/** Goes to the sign-in page, to come back here afterwards. */
export function leave() {
  const here = location.href.slice(HOME.href.length).split("#")[0];
  const next = location.href.startsWith(HOME.href) && here ? `?next=${part(here)}` : "";
  location.assign(new URL(`sign-in${next}`, HOME));
}

/** @param {Record<string, unknown>} [query] */
function search(query) {
  const pairs = Object.entries(query ?? {}).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return pairs.length === 0 ? "" : `?${new URLSearchParams(pairs.map(([name, value]) => [name, String(value)]))}`;
}

/** @param {Response} response @param {any} answer */
function failure(response, answer) {
  const { status } = response;
  const code = typeof answer?.code === "string" ? answer.code : `http_${status}`;
  if (status === 429) {
    const seconds = Number(response.headers.get("Retry-After"));
    const when = seconds > 0 ? `in ${seconds > 90 ? `${Math.ceil(seconds / 60)} minutes` : `${seconds} seconds`}` : "a little later";
    return new ApiError(status, code, `Too many attempts. Please try again ${when}.`, answer?.details);
  }
  if (typeof answer?.message === "string") {
    return new ApiError(status, code, sentence(answer.message), answer.details);
  }
  return new ApiError(status, code, `The server answered with status ${status}.`);
}

/** @param {string} text */
function sentence(text) {
  // The name of a member stays as it is written.
  const first = /^\w*[_.[]\w/.test(text) ? text : text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}

/** The refusal which means that this browser is no longer signed in. */
const OUT = "signed_out";
/** The refusal which means that the password or a passkey has to be given once more. */
const UNCONFIRMED = "confirmation_required";
