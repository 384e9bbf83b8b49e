// A page over the API: what all its parts use (the token, calls, elements), and its forms. The token comes from the
// address (#token=...) or is asked for once, and stays in this browser.
"use strict";

const KEY = "search-service-token";
const byId = (id) => document.getElementById(id);
let token = localStorage.getItem(KEY);

async function call(path, options = {}) {
  const headers = { ...options.headers, Authorization: `Bearer ${token}` };
  const answer = await fetch(path, { ...options, headers });
  if (answer.ok) return answer;
  let reason = `${answer.status} ${answer.statusText}`;
  try { reason = (await answer.json()).detail; } catch { /* no JSON */ }
  if (answer.status === 401) forget();
  throw new Error(reason);
}

function element(tag, content = "", attributes = {}) {
  const made = document.createElement(tag);
  made.append(...[].concat(content));
  for (const [name, value] of Object.entries(attributes)) made[name] = value;
  return made;
}

function duration(seconds) {
  if (seconds === null) return "";
  const whole = Math.round(seconds);
  const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
  return (hours ? `${hours} h ` : "") + (hours || minutes ? `${minutes} min ` : "") + `${whole % 60} s`;
}

function button(text, action) {
  return element("button", text, { type: "button", onclick: () => attempt(action) });
}

async function attempt(action) {
  byId("message").textContent = "";
  try { await action(); } catch (error) { byId("message").textContent = error.message; }
}

async function save(id, what, name) {
  const link = element("a", "", { href: URL.createObjectURL(await (await call(`api/searches/${id}/${what}`)).blob()) });
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

async function post(path, body) {
  await call(path, body === undefined ? { method: "POST" } : { method: "POST", body });
}

// The searches whose model can be asked; the one that is chosen stays so.
function offer() {
  const searches = [...known.values()].map(({ search }) => search).filter((search) => search.has_model);
  const box = byId("asked"), chosen = box.value;
  box.replaceChildren(...searches.map((search) => element("option", `${search.name} (${search.id})`, { value: search.id })));
  if (searches.some((search) => search.id === chosen)) box.value = chosen;
  byId("ask").parentElement.hidden = searches.length === 0;
}

async function ask(event) {
  event.preventDefault();
  const texts = byId("texts").value.split("\n").filter((line) => line.trim());
  byId("answers").textContent = "";
  const answer = await call(`models/${byId("asked").value}/predict`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ texts }) });
  const { answers, runtime } = await answer.json();
  byId("answers").textContent = answers.map((said, place) => `${texts[place]}\n  ${JSON.stringify(said)}`).join("\n") + `\n(${runtime})`;
}

async function submit(event) {
  event.preventDefault();
  const form = event.target, body = new FormData();
  for (const [name, value] of new FormData(form)) {
    if (value instanceof File ? value.name : value.trim()) body.append(name, value);
  }
  if (body.has("table")) body.delete("task");
  await attempt(async () => { await post("api/searches", body); form.parentElement.open = false; byId("all").focus(); });
}

function forget() {
  token = null;
  following += 1;
  localStorage.removeItem(KEY);
  byId("main").hidden = true;
  byId("login").hidden = false;
  byId("token").focus();
}

async function enter() {
  byId("message").textContent = "";
  const options = await (await call("api/options")).json();
  byId("task").replaceChildren(...options.tasks.map((task) => element("option", task, { value: task })));
  localStorage.setItem(KEY, token);
  offerEncoders(options.encoders);
  byId("login").hidden = true;
  byId("main").hidden = false;
  follow();
}

document.addEventListener("DOMContentLoaded", () => { if (token) attempt(enter); else forget(); });
const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) {
  token = given;
  history.replaceState(null, "", location.pathname);
}
byId("login").addEventListener("submit", (event) => { event.preventDefault(); token = byId("token").value.trim(); attempt(enter); });
byId("submit").addEventListener("submit", submit);
byId("ask").addEventListener("submit", (event) => attempt(() => ask(event)));
byId("forget").addEventListener("click", forget);
