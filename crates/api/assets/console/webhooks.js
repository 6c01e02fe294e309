/** Where an app's server is called, and what became of each call. */

import { get, ofApp, part, patch, post, remove } from "./api.js";
import { badge, fill, find, findAll, make, on, show, stamp } from "./dom.js";
import { needed } from "./entrance.js";
import { FormError, onSubmit, open, optional, ticked } from "./form.js";
import { attempt, complain, say } from "./notice.js";
import { ago, count, full } from "./time.js";

/** @type {any} */
let chosen = null;
/** The endpoint whose deliveries are shown. @type {any} */
let watched = null;
/** @type {any[]} */
let deliveries = [];
/** @type {string|null} */
let next = null;

async function load() {
  const { items: hooks, known_events: known } = await get(ofApp("webhooks"));
  find("#events").replaceChildren(
    ...known.map((/** @type {string} */ name) => {
      const choice = stamp("event-choice", { name });
      find("input", choice).value = name;
      return choice;
    }),
  );
  show(
    find("#webhooks"),
    hooks.map((/** @type {any} */ hook) => {
      const line = stamp("webhook-row", {
        label: hook.label || new URL(hook.url).host,
        url: hook.url,
        state: hookState(hook),
        events: hook.events.length === known.length ? "all" : make("span", { class: "chips" }, ...hook.events.map((/** @type {string} */ event) => badge(event))),
      });
      on(line, "deliveries", () => watch(hook).catch(complain));
      on(line, "edit", () => edit(hook));
      on(line, "delete", () => {
        chosen = hook;
        fill(open("delete-webhook"), { url: hook.url });
      });
      on(line, "test", (event) =>
        attempt(event.currentTarget, async () => {
          await post(`${ofApp("webhooks")}/${part(hook.id)}/test`);
          say("A test is on its way.");
          await watch(hook);
        }),
      );
      return line;
    }),
  );
}

/** @param {any} hook */
function hookState(hook) {
  if (hook.disabled_ms) return badge("paused", "warn");
  return hook.pending > 0 ? badge(`${count(hook.pending)} pending`, "warn") : badge("active", "good");
}

/** @param {any} hook */
async function watch(hook) {
  watched = hook;
  const place = find("#deliveries");
  place.hidden = false;
  find("#deliveries-of").textContent = hook.url;
  await loadDeliveries(null);
  place.scrollIntoView({ block: "nearest" });
}

/** @param {string|null} cursor */
async function loadDeliveries(cursor) {
  const page = await get(`${ofApp("webhooks")}/${part(watched.id)}/deliveries`, { state: find("#delivery-state").value, limit: 50, cursor });
  deliveries = cursor ? [...deliveries, ...page.items] : page.items;
  next = page.next;
  show(
    find("#deliveries"),
    deliveries.map((delivery) => {
      const line = stamp("delivery-row", {
        event: delivery.type,
        subject: delivery.repeats ? "sent again" : "",
        state: deliveryState(delivery.state),
        when: ago(delivery.queued_ms),
        attempts: count(delivery.attempts),
      });
      on(line, "show", (event) => attempt(event.currentTarget, () => showDelivery(delivery)));
      on(line, "redeliver", (event) => attempt(event.currentTarget, () => redeliver(delivery)));
      return line;
    }),
  );
  find("#more").hidden = next === null;
}

/** @param {string} state */
const deliveryState = (state) => badge(state, { delivered: "good", parked: "bad", failed: "bad" }[state] ?? "warn");

/** @param {any} delivery */
async function showDelivery(delivery) {
  const whole = await get(`${ofApp("deliveries")}/${part(delivery.id)}`);
  chosen = delivery;
  const dialog = find("#delivery");
  fill(dialog, { event: whole.type, state: deliveryState(whole.state) });
  const attempts = whole.log;
  find("#attempts").replaceChildren(
    ...(attempts.length === 0 ? [make("li", { class: "soft" }, "Not tried yet.")] : attempts.map(attemptLine)),
  );
  find("#delivery-request").textContent = pretty(whole.request);
  find("#delivery-answer").textContent = pretty(attempts.at(-1)?.answer) || (attempts.at(-1)?.status ? "It was empty." : "None yet.");
  dialog.showModal();
}

/** @param {any} one */
function attemptLine(one) {
  const good = one.status >= 200 && one.status < 300;
  return make(
    "li",
    {},
    make("span", {}, full(one.at_ms)),
    one.status ? badge(String(one.status), good ? "good" : "bad") : badge("no answer", "bad"),
    make("span", { class: "soft" }, [one.duration_ms === undefined ? "" : `${count(one.duration_ms)} ms`, one.error ?? ""].filter(Boolean).join(" · ")),
  );
}

/** @param {any} value */
const pretty = (value) => (value === null || value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value, null, 2));

/** @param {any} delivery */
async function redeliver(delivery) {
  await post(`${ofApp("deliveries")}/${part(delivery.id)}/redeliver`);
  say("It is on its way again.");
  await loadDeliveries(null);
}

/** @param {any} hook null for a new one */
function edit(hook) {
  chosen = hook;
  const dialog = open("webhook");
  fill(dialog, { title: hook ? "Edit endpoint" : "New endpoint" });
  find("#webhook-disabled").hidden = !hook;
  const form = find("form", dialog);
  for (const box of findAll('input[name="event"]', form)) box.checked = hook ? hook.events.includes(box.value) : true;
  if (!hook) return;
  form.elements.url.value = hook.url;
  form.elements.label.value = hook.label ?? "";
  form.elements.disabled.checked = Boolean(hook.disabled_ms);
}

for (const button of findAll("[data-new-webhook]")) button.addEventListener("click", () => edit(null));

onSubmit(find("#webhook form"), async (form) => {
  const events = ticked(form, "event");
  if (events.length === 0) throw new FormError("Choose at least one event.");
  const order = { url: needed(form, "url", "The URL"), label: optional(form, "label"), events };
  const path = ofApp("webhooks");
  await (chosen
    ? patch(`${path}/${part(chosen.id)}`, { ...order, label: order.label ?? "", enabled: !form.elements.disabled.checked })
    : post(path, order));
  find("#webhook").close();
  say("Saved.");
  await load();
});

onSubmit(find("#delete-webhook form"), async () => {
  await remove(`${ofApp("webhooks")}/${part(chosen.id)}`);
  find("#delete-webhook").close();
  if (watched?.id === chosen.id) find("#deliveries").hidden = true;
  say("Deleted.");
  await load();
});

document.querySelector("#redeliver")?.addEventListener("click", (/** @type {any} */ event) =>
  attempt(event.currentTarget, async () => {
    await redeliver(chosen);
    find("#delivery").close();
  }),
);
find("#delivery-state").addEventListener("change", () => loadDeliveries(null).catch(complain));
find("#reload-deliveries").addEventListener("click", (/** @type {any} */ event) => attempt(event.currentTarget, () => loadDeliveries(null)));
find("#more button").addEventListener("click", (/** @type {any} */ event) => attempt(event.currentTarget, () => loadDeliveries(next)));

load().catch(complain);
