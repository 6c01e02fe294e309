// Signs in at the app's server, asks it for an AccessToken, and connects to Hexline with that.

const CHANNEL = "lobby";
const byId = (id) => document.getElementById(id);
let me = null;
let socket = null;
let retries = 0;
/** Addresses of the connections that are in the channel. */
const here = new Set();

byId("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { user, password } = Object.fromEntries(new FormData(event.target));
  const response = await fetch("session", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ user, password }),
  });
  const answer = await response.json();
  byId("problem").textContent = response.ok ? "" : answer.message;
  if (response.ok) enter(answer);
});

byId("sign-out").addEventListener("click", async () => {
  await fetch("session", { method: "DELETE" });
  me = null;
  socket?.close();
  show();
});

byId("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = byId("text").value;
  call("signal.publish", { id: CHANNEL, text });
  addMessage(me.user, text);
  event.target.reset();
});

const session = await fetch("session");
if (session.ok) enter(await session.json());
else show();

function enter(user) {
  me = user;
  retries = 0;
  show();
  connect();
}

async function connect() {
  byId("state").textContent = "connecting";
  const response = await fetch("token", { method: "POST" }).catch(() => null);
  if (response?.status === 401) {
    me = null;
    return show();
  }
  if (!response?.ok) return later();
  const { token, socket: url } = await response.json();
  // As a sub-protocol the token stays out of every URL.
  socket = new WebSocket(url, ["hexline.v1", `bearer.${token}`]);
  socket.addEventListener("open", () => {
    retries = 0;
    byId("state").textContent = `connected as ${me?.name}`;
    call("signal.join", { id: CHANNEL, presence: true });
  });
  socket.addEventListener("message", ({ data }) => hear(JSON.parse(data)));
  socket.addEventListener("close", ({ code }) => {
    here.clear();
    showPeople();
    if (!me) return;
    // 4500-4999: whoever is sent away like this is not to come back by themselves.
    if (code >= 4500 && code <= 4999) byId("state").textContent = `sent away (${code})`;
    else later();
  });
}

/** Every token is used once: connecting again fetches another. */
function later() {
  byId("state").textContent = "not connected; trying again";
  setTimeout(() => me && connect(), Math.min(30_000, 500 * 2 ** retries++) * (0.5 + Math.random()));
}

function hear({ method, params }) {
  if (method === "signal.join" || method === "signal.join_back") here.add(params.from);
  if (method === "signal.leave") here.delete(params.from);
  if (method === "signal.publish") addMessage(identityOf(params.from), params.text);
  showPeople();
}

function call(method, params) {
  if (socket?.readyState === WebSocket.OPEN) {
    socket.send(JSON.stringify({ jsonrpc: "2.0", method, params }));
  }
}

function identityOf(address) {
  return address.split("/")[0];
}

function addMessage(from, text) {
  const item = document.createElement("li");
  const name = document.createElement("b");
  name.textContent = from;
  item.append(name, String(text));
  byId("messages").append(item);
}

function showPeople() {
  const names = me ? new Set([me.user, ...[...here].map(identityOf)]) : [];
  byId("people").replaceChildren(...[...names].sort().map((name) => {
    const item = document.createElement("li");
    item.textContent = name === me.user ? `${name} (you)` : name;
    return item;
  }));
}

function show() {
  byId("sign-in").hidden = Boolean(me);
  byId("lobby").hidden = !me;
  byId("sign-out").hidden = !me;
  if (!me) byId("state").textContent = "not signed in";
  showPeople();
}
