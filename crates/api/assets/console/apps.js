/** Every app that the operator sees, and how busy the server is. */

import { HOME, all, part, post } from "./api.js";
import { badge, find, findAll, make, show, stamp } from "./dom.js";
import { needed } from "./entrance.js";
import { onSubmit, open } from "./form.js";
import { complain } from "./notice.js";
import { follow } from "./stream.js";
import { ago, count } from "./time.js";

const place = find("#apps");

async function load() {
  const apps = await all("apps");
  show(
    place,
    apps.map((app) =>
      stamp("app-tile", {
        link: make("a", { href: new URL(`apps/${part(app.id)}/keys`, HOME) }, app.name),
        state: app.disabled_ms ? badge("disabled", "warn") : "",
        connections: count(app.connections),
        keys: count(app.keys),
        created: ago(app.created_ms),
      }),
    ),
  );
}

for (const button of findAll("[data-new-app]")) button.addEventListener("click", () => open("create-app"));

onSubmit(find("#create-app form"), async (form) => {
  const app = await post("apps", { name: needed(form, "name", "The name") });
  location.assign(new URL(`apps/${part(app.id)}/keys`, HOME));
});

let due = 0;
follow("live", {
  changed() {
    clearTimeout(due);
    due = setTimeout(() => load().catch(complain), 400);
  },
});
load().catch(complain);
