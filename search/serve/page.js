// A page over the API: polls the list of searches and shows it. The token comes from the address (#token=...) or is
// asked for once, and stays in this browser.
"use strict";

const KEY = "search-service-token";
const POLL_MS = 2000;
const byId = (id) => document.getElementById(id);
let token = localStorage.getItem(KEY);
let timer = null;

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
  await refresh();
}

function described(search) {
  const counts = search.trials;
  const stages = { library: "building the graph library", data: "preparing the data", search: "searching" };
  const state = search.stage && search.state === "running" ? stages[search.stage] : search.state;
  const place = search.queue_position ? `, number ${search.queue_position} in the queue` : "";
  const lines = [
    element("h2", search.name),
    element("p", `${state}${place}; task ${search.task}; ${new Date(search.created * 1000).toLocaleString()}; ${duration(search.elapsed_s)}`, { className: "quiet" }),
  ];
  if (search.max_trials) {
    const bar = element("progress", "", { max: search.max_trials, value: counts.finished });
    bar.setAttribute("aria-label", "finished trials");
    lines.push(bar);
  }
  lines.push(element("p", `${counts.finished}${search.max_trials ? ` of ${search.max_trials}` : ""} trials finished, ${counts.failed} failed, ${counts.running} in training, ${counts.open} open; ${duration(search.training_s)} of training`));
  for (const trial of search.running_trials) {
    const share = trial.progress === null ? "" : ` ${Math.round(trial.progress * 100)} %`;
    const loss = trial.loss === null ? "" : `, loss ${trial.loss.toFixed(3)}`;
    lines.push(element("p", [`${trial.trial}: ${trial.phase ?? "starting"}${share}${loss}, ${duration(trial.elapsed_s)}, `, element("code", trial.architecture)]));
  }
  if (search.best) {
    const { trial, score, architecture, objectives } = search.best;
    const size = objectives.parameters ? `, ${Math.round(objectives.parameters).toLocaleString()} parameters` : "";
    lines.push(element("p", [element("b", `Best: ${score.toFixed(4)}`), ` (${trial}${size}) `, element("code", architecture)]));
  }
  if (search.scores?.length > 1) lines.push(curve(search.scores));
  if (search.error) lines.push(element("p", search.error, { className: "failed" }));
  lines.push(element("p", buttons(search)));
  const kind = search.state === "failed" ? "failed-search" : search.state;
  return element("article", lines, { className: kind });
}

function buttons(search) {
  const { id, state } = search;
  const shown = [];
  if (["queued", "running"].includes(state)) shown.push(button("Stop", () => post(`api/searches/${id}/stop`)));
  if (state === "stopping") shown.push(button("Kill", () => post(`api/searches/${id}/stop`)));
  if (["stopped", "failed", "interrupted"].includes(state)) shown.push(button("Resume", () => post(`api/searches/${id}/resume`)));
  if (search.best) shown.push(button("Report", () => save(id, "report", `${id}.html`)));
  if (search.has_model) shown.push(button("Best model", () => save(id, "model", `${id}.zip`)));
  if (state !== "queued") shown.push(button("Log", () => save(id, "log", `${id}.txt`)));
  return shown;
}

async function refresh() {
  const searches = await (await call("api/searches")).json();
  const shown = searches.map(described);
  offer(searches.filter((search) => search.has_model));
  byId("searches").replaceChildren(...(shown.length ? shown : [element("p", "No searches yet.", { className: "quiet" })]));
}

// The searches whose model can be asked; the one that is chosen stays so.
function offer(searches) {
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

async function poll() {
  clearTimeout(timer);
  try { await refresh(); } catch (error) { byId("message").textContent = error.message; }
  if (token) timer = setTimeout(poll, POLL_MS);
}

async function submit(event) {
  event.preventDefault();
  const form = event.target, body = new FormData();
  for (const [name, value] of new FormData(form)) {
    if (value instanceof File ? value.name : value.trim()) body.append(name, value);
  }
  if (body.has("table")) body.delete("task");
  await attempt(async () => { await post("api/searches", body); form.parentElement.open = false; });
}

function forget() {
  token = null;
  localStorage.removeItem(KEY);
  clearTimeout(timer);
  byId("main").hidden = true;
  byId("login").hidden = false;
}

async function enter() {
  byId("message").textContent = "";
  const options = await (await call("api/options")).json();
  byId("task").replaceChildren(...options.tasks.map((task) => element("option", task, { value: task })));
  localStorage.setItem(KEY, token);
  byId("login").hidden = true;
  byId("main").hidden = false;
  await poll();
}

const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) {
  token = given;
  history.replaceState(null, "", location.pathname);
}
byId("login").addEventListener("submit", (event) => { event.preventDefault(); token = byId("token").value.trim(); attempt(enter); });
byId("submit").addEventListener("submit", submit);
byId("ask").addEventListener("submit", (event) => attempt(() => ask(event)));
byId("forget").addEventListener("click", forget);
if (token) attempt(enter); else forget();
