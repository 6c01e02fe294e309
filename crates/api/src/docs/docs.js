// Draws the page from openapi.json and openrpc.json. Text from them becomes text, never markup.

const byId = (id) => document.getElementById(id);
const sections = byId("sections");

const [api, rpc] = await Promise.all(["openapi.json", "openrpc.json"].map(fetchJson));
byId("version").textContent = api.info.version;
byId("about").append(...prose(api.info.description));

const operations = Object.entries(api.paths).flatMap(([path, item]) =>
  Object.entries(item)
    .filter(([, operation]) => operation.responses)
    .map(([method, operation]) => ({ path, method, operation })));
for (const tag of api.tags) {
  const members = operations.filter(({ operation }) => operation.tags?.includes(tag.name));
  addSection(tag.name, tag.description, members.map(drawOperation));
}
addSection("websocket", rpc.info.description, [
  ...rpc.methods.map((method) => drawCall("call", method)),
  ...rpc["x-pushes"].map((push) => drawCall("push", push)),
]);
countFound();
openNamed();
addEventListener("hashchange", openNamed);
byId("search").addEventListener("input", search);
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement?.id !== "search") {
    event.preventDefault();
    byId("search").focus();
  }
});

async function fetchJson(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return response.json();
}

function addSection(name, text, members) {
  const section = element("section", { id: `section-${name}`, "aria-labelledby": `title-${name}` },
    element("h2", { id: `title-${name}` }, name),
    element("p", {}, ...prose(text)),
    ...members);
  sections.append(section);
  byId("contents").append(element("a", { href: `#section-${name}` }, name,
    element("span", {}, String(members.length))));
}

function drawOperation({ path, method, operation }) {
  const details = element("details", { class: "operation", id: operation.operationId },
    element("summary", {},
      element("span", { class: `method ${method}` }, method.toUpperCase()),
      element("code", { class: "path" }, ...breakable(path)),
      element("span", { class: "gist" }, ...prose(operation.summary ?? ""))));
  details.dataset.text = [method, path, operation.summary, operation.description,
    operation.operationId].join(" ").toLowerCase();
  // Drawn when it is first opened: there are many of them.
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) {
      details.append(drawDetail(path, method, operation));
    }
  });
  return details;
}

function drawDetail(path, method, operation) {
  const body = element("div", { class: "body" });
  for (const text of (operation.description ?? "").split("\n\n").filter(Boolean)) {
    body.append(element("p", {}, ...prose(text)));
  }
  const schemes = (operation.security ?? []).flatMap(Object.keys);
  if (schemes.length > 0) {
    body.append(heading("Who may call"), element("div", { class: "rows" },
      ...schemes.map((name) => drawRow(name, "", false,
        api.components.securitySchemes[name]?.description))));
  }
  const parameters = operation.parameters ?? [];
  if (parameters.length > 0) {
    body.append(heading("Parameters"), element("div", { class: "rows" },
      ...parameters.map((p) => drawRow(p.name, `${p.in}, ${typeName(p.schema)}`, p.required,
        p.description, p.schema))));
  }
  const content = Object.entries(operation.requestBody?.content ?? {});
  for (const [type, { schema }] of content) {
    body.append(heading(`Body: ${type}`), ...drawSchema(schema, new Set()));
  }
  body.append(heading("Try it"), drawCode(curl(path, method, operation, schemes)));
  body.append(heading("Answers"), ...Object.entries(operation.responses).map(drawAnswer));
  return body;
}

function drawAnswer([status, response]) {
  const content = Object.entries(response.content ?? {});
  return element("details", { class: "answer" },
    element("summary", {}, element("code", { class: `status-${status[0]}` }, status), " ",
      ...prose(response.description)),
    element("div", {}, ...content.flatMap(([type, { schema }]) =>
      [heading(type), ...drawSchema(schema, new Set())]),
      ...(content.length === 0 ? [element("p", {}, "No body.")] : [])));
}

function drawCall(kind, method) {
  const body = element("div", { class: "body" });
  if (method.params.length > 0) {
    body.append(heading("Parameters"), element("div", { class: "rows" },
      ...method.params.map((p) => drawRow(p.name, typeName(p.schema), p.required, p.summary))));
  }
  if (method["x-relays-other-params"]) {
    body.append(element("p", {}, "Other members pass through as they were written."));
  }
  const params = Object.fromEntries(method.params.filter((p) => p.required)
    .map((p) => [p.name, example(p.schema, new Set())]));
  const frame = { jsonrpc: "2.0", ...(kind === "call" ? { id: 1 } : {}), method: method.name, params };
  body.append(heading("Frame"), drawCode(JSON.stringify(frame)));
  if (kind === "call") {
    body.append(heading("Result"), ...drawSchema(method.result.schema, new Set()));
    const errors = method.errors.map(lookup);
    body.append(heading("Errors"), element("div", { class: "rows" },
      ...errors.map((error) => drawRow(error.message, String(error.code), false))));
  }
  const details = element("details", { class: "operation", id: `${kind}-${method.name}` },
    element("summary", {},
      element("span", { class: `method ${kind}` }, kind.toUpperCase()),
      element("code", { class: "path" }, method.name),
      element("span", { class: "gist" }, ...prose(method.summary))),
    body);
  details.dataset.text = `${kind} ${method.name} ${method.summary}`.toLowerCase();
  return details;
}

function drawSchema(given, seen) {
  const schema = lookup(given);
  const inner = membersOf(schema, seen);
  if (inner) return [inner];
  return [element("p", {}, element("code", {}, typeName(given)),
    ...prose(schema?.description ? ` ${schema.description}` : ""))];
}

/** The members of an object, or of what a list holds, or of each alternative. */
function membersOf(given, seen) {
  const schema = lookup(given);
  if (!schema || seen.has(schema)) return null;
  const within = new Set(seen).add(schema);
  if (schema.items) return membersOf(schema.items, within);
  const options = (schema.oneOf ?? schema.anyOf ?? []).filter((o) => lookup(o)?.type !== "null");
  if (options.length > 0) {
    const drawn = options.map((option) => membersOf(option, within)).filter(Boolean);
    return drawn.length > 0 ? element("div", {}, ...drawn) : null;
  }
  const parts = [schema, ...(schema.allOf ?? []).map((part) => lookup(part))];
  const rows = parts.flatMap((part) => Object.entries(part.properties ?? {}).map(([name, value]) => {
    const text = value.description ?? lookup(value)?.description;
    return drawRow(name, typeName(value), part.required?.includes(name), text, value, within);
  }));
  return rows.length > 0 ? element("div", { class: "rows" }, ...rows) : null;
}

function drawRow(name, type, required, text, schema, seen = new Set()) {
  const values = lookup(schema)?.enum;
  const inner = schema ? membersOf(schema, seen) : null;
  return element("div", { class: "row" },
    element("div", {}, element("code", {}, name), " ",
      ...(required ? [element("span", { class: "must" }, "required")] : [])),
    element("div", {},
      ...(type ? [element("span", { class: "type" }, type)] : []),
      ...(text ? [element("p", {}, ...prose(text))] : []),
      ...(values ? [element("p", {}, `One of ${values.join(", ")}.`)] : [])),
    ...(inner ? [inner] : []));
}

function typeName(given) {
  const schema = lookup(given);
  if (!schema) return "anything";
  const name = given.$ref?.split("/").pop();
  if (schema.items) return `list of ${typeName(schema.items)}`;
  const options = schema.oneOf ?? schema.anyOf;
  if (options) return [...new Set(options.map(typeName))].join(" or ");
  if (name) return name;
  const types = [schema.type ?? "anything"].flat();
  return types.join(" or ") + (schema.format ? ` (${schema.format})` : "");
}

/** Looks in both documents: a type has one name, and is the same in both. */
function lookup(schema) {
  if (!schema?.$ref) return schema;
  const steps = schema.$ref.replace("#/", "").split("/");
  const find = (root) => steps.reduce((at, step) => at?.[step], root);
  return find(api) ?? find(rpc);
}

function curl(path, method, operation, schemes) {
  const base = api.servers[0].url.replace(/\/$/, "");
  const query = (operation.parameters ?? []).filter((p) => p.in === "query" && p.required)
    .map((p) => `${p.name}=${p.name.toUpperCase()}`);
  if (schemes.includes("apikey")) query.push("apikey=$APIKEY");
  const url = base + path.replace(/{(\w+)}/g, (_, name) => name.toUpperCase());
  const parts = [`curl ${method === "get" ? "" : `-X ${method.toUpperCase()} `}"${url}${
    query.length > 0 ? `?${query.join("&")}` : ""}"`];
  if (schemes.some((name) => name.endsWith("Token"))) {
    parts.push("-H \"Authorization: Bearer $TOKEN\"");
  }
  if (schemes.includes("consoleSession")) parts.push("-b \"hexline_console=$SESSION\"");
  for (const p of (operation.parameters ?? []).filter((p) => p.in === "header" && p.required)) {
    parts.push(`-H "${p.name}: ${example(p.schema, new Set())}"`);
  }
  const json = operation.requestBody?.content?.["application/json"];
  if (json) {
    const text = JSON.stringify(example(json.schema, new Set())).replaceAll("'", "'\\''");
    parts.push("--json " + `'${text}'`);
  }
  return parts.join(" \\\n  ");
}

/** A value that the schema describes: its own example, or its required members. */
function example(given, seen) {
  const schema = lookup(given);
  if (!schema || seen.has(schema)) return null;
  const within = new Set(seen).add(schema);
  if (schema.example !== undefined) return schema.example;
  if (schema.examples?.length > 0) return schema.examples[0];
  if (schema.enum) return schema.enum[0];
  const option = (schema.oneOf ?? schema.anyOf)?.find((o) => lookup(o)?.type !== "null");
  if (option) return example(option, within);
  const type = [schema.type].flat().find((name) => name !== "null");
  if (schema.allOf) return Object.assign({}, ...schema.allOf.map((part) => example(part, within)));
  if (type === "object") {
    const members = Object.entries(schema.properties ?? {})
      .filter(([name]) => schema.required?.includes(name));
    return Object.fromEntries(members.map(([name, value]) => [name, example(value, within)]));
  }
  if (type === "array") return [];
  if (type === "string") return "text";
  if (type === "boolean") return true;
  return type ? schema.minimum ?? 1 : {};
}

function drawCode(text) {
  const button = element("button", { type: "button" }, "Copy");
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  return element("div", { class: "code" }, element("pre", {}, element("code", {}, text)),
    ...(navigator.clipboard ? [button] : []));
}

function search() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const details of document.querySelectorAll(".operation")) {
    details.hidden = !words.every((word) => details.dataset.text.includes(word));
  }
  for (const section of document.querySelectorAll("section")) {
    section.hidden = !section.querySelector(".operation:not([hidden])");
  }
  countFound();
}

function countFound() {
  const all = document.querySelectorAll(".operation");
  const shown = [...all].filter((details) => !details.hidden).length;
  byId("found").textContent = shown === all.length ? `${all.length} operations`
    : `${shown} of ${all.length}`;
}

/** Opens the operation that the address names. */
function openNamed() {
  const named = byId(decodeURIComponent(location.hash.slice(1)));
  if (named?.matches(".operation")) named.open = true;
  named?.scrollIntoView();
}

function heading(text) {
  return element("h4", {}, text);
}

/** A path may break after each of its slashes. */
function breakable(path) {
  return path.split(/(?<=\/)/).flatMap((part) => [part, element("wbr")]);
}

/** What stands between back ticks is code. */
function prose(text) {
  return text.split("`").map((part, at) => (at % 2 === 1 ? element("code", {}, part) : part));
}

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}
