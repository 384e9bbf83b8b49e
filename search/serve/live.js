// Searches as the service tells them (api/events): a stream, opened again whenever it ends. Read with fetch, which can
// send the token; EventSource cannot.
"use strict";

const AGAIN_MS = 3000;
const known = new Map();
let following = 0;

// Goes on until another one follows, or nobody (following is raised).
async function follow() {
  const mine = ++following;
  while (mine === following) {
    try {
      await listen(mine);
      byId("connection").textContent = "";
    } catch (error) {
      byId("connection").textContent = `What you see may be old: the service does not answer (${error.message}). It is tried again.`;
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

async function listen(mine) {
  const stream = (await call("api/events")).body.pipeThrough(new TextDecoderStream()).getReader();
  byId("connection").textContent = "";
  for (let text = ""; ; ) {
    const { value, done } = await stream.read();
    if (done) return;
    if (mine !== following) { await stream.cancel(); return; }
    const events = (text + value).split("\n\n");
    text = events.pop();
    events.forEach(hear);
  }
}

function hear(event) {
  const [, kind, data] = event.match(/^event: (\w+)\ndata: (.*)$/s) ?? [];
  if (kind === "search") {
    const search = JSON.parse(data), before = known.get(search.id);
    known.set(search.id, { search, article: draw(search, before?.article) });
    if (before) announce(before.search, search);
    if (before?.search.has_model !== search.has_model) offer();
  } else if (kind === "searches") {
    arrange(JSON.parse(data));
  }
}

// Put the articles in order and drop those that are gone. What is in its place stays untouched, and keeps the focus.
function arrange(ids) {
  const box = byId("searches");
  for (const [id, { article }] of known) {
    if (!ids.includes(id)) { article.remove(); known.delete(id); }
  }
  ids.forEach((id, place) => {
    const { article } = known.get(id);
    if (box.children[place] !== article) box.insertBefore(article, box.children[place] ?? null);
  });
  byId("none").hidden = ids.length > 0;
  offer();
}

// For those who listen: states, and better scores; not each loss.
function announce(before, now) {
  const news = [];
  if (before.state !== now.state) news.push(now.state);
  if (now.best && before.best?.trial !== now.best.trial) news.push(`best so far: ${scored(now.best, now)}`);
  if (news.length) byId("news").textContent = `${now.name}: ${news.join("; ")}`;
}
