/** The inspector: a token's parts and the nine checks. What is pasted goes to this server and is kept nowhere. */

import { post } from "./api.js";
import { find, stamp } from "./dom.js";
import { FormError, onSubmit, text } from "./form.js";
import { full, relative } from "./time.js";

const form = find("#inspect");

onSubmit(form, async () => {
  find("#inspection").hidden = true;
  const token = bare(text(form, "token"));
  if (token === "") throw new FormError("Paste a token first.");
  form.elements.token.value = token;
  const seen = await post("tokens/inspect", {
    token,
    access: form.elements.access.value,
    grant: form.elements.grant.value || undefined,
  });
  find("#inspected-header").textContent = pretty(seen.header);
  find("#inspected-claims").textContent = pretty(seen.claims);
  find("#checks").replaceChildren(...seen.checks.map(row));
  verdict(seen);
  find("#inspection").hidden = false;
});

/** The token alone, if it comes with what stands around it in headers, addresses and JSON. @param {string} pasted */
function bare(pasted) {
  if (pasted.includes("\n")) return pasted;
  const [, token] = /(?:^|[^\w.-])([\w-]+\.[\w-]+\.[\w-]*)(?![\w.-])/.exec(pasted) ?? [];
  return token?.startsWith("eyJ") ? token : pasted;
}

/** Puts a token into the inspector and looks at it. @param {string} token @param {string} access */
export function inspect(token, access) {
  form.elements.token.value = token;
  form.elements.access.value = access;
  form.requestSubmit();
  form.scrollIntoView({ block: "start", behavior: "smooth" });
}

/** @param {any} seen */
function verdict(seen) {
  const failed = seen.checks.find((/** @type {any} */ check) => check.outcome === "fail");
  // Without a call to make, the last one stays open.
  const open = seen.checks.some((/** @type {any} */ check) => check.outcome === "not_reached" && check.number < 9);
  const place = find("#verdict");
  place.className = `callout ${failed ? "bad" : open ? "warn" : "good"}`;
  const lines = [];
  if (failed) lines.push(`Refused at check ${failed.number}${failed.reason ? `: ${failed.reason}` : ""}.`);
  else if (open) lines.push("Good as far as it was checked.");
  else if (form.elements.grant.value) lines.push("Accepted: it passes every check.");
  else lines.push("Accepted: it passes every check that does not depend on a call.");
  if (seen.expires_ms) {
    lines.push(`${seen.expires_ms > Date.now() ? "Expires" : "Expired"} ${relative(seen.expires_ms)}, ${full(seen.expires_ms)}.`);
  }
  place.replaceChildren(
    ...lines.map((line, index) => {
      const element = document.createElement(index === 0 ? "strong" : "span");
      element.textContent = line;
      return element;
    }),
  );
}

/** @param {any} check */
function row(check) {
  const why = [];
  if (check.outcome === "fail" && check.reason) why.push(check.reason);
  if (check.found) why.push(`found ${plain(check.found)}`);
  if (check.expected && check.outcome !== "pass") why.push(`expected ${plain(check.expected)}`);
  const line = stamp("check-row", {
    mark: { pass: "✓", fail: "✕" }[/** @type {string} */ (check.outcome)] ?? String(check.number),
    check: `${check.number}. ${NAMES[check.number - 1] ?? check.check}`,
    outcome: check.outcome.replace("_", " "),
    why: why.join(" · "),
  });
  line.classList.add(check.outcome);
  return line;
}

/** @param {unknown} value */
const plain = (value) => (typeof value === "string" ? value : JSON.stringify(value));

/** @param {unknown} value */
const pretty = (value) => (value === null || value === undefined ? "not readable" : JSON.stringify(value, null, 2));

/** The nine checks, in their order. */
const NAMES = [
  "Well formed",
  "Signed by a key that is known and usable",
  "The key’s own algorithm",
  "Signature",
  "Meant for this server",
  "Within its time",
  "Names whom it is for",
  "Not revoked",
  "Grants what the call needs",
];
