// A search in three steps: a table is shown as the service reads it, and can be read otherwise; a goal; go. Uses what
// page.js has: the token, elements, messages.
"use strict";

const USUAL = { epochs: 2, num_init: 3, pretrain_steps: 120, max_length: 64 };
let tableFile = null;

async function answer(path, options = {}) {
  const found = await fetch(path, { ...options, headers: { Authorization: `Bearer ${token}` } });
  if (found.ok) return found;
  let reason = `${found.status} ${found.statusText}`;
  try { reason = (await found.json()).detail; } catch { /* no JSON */ }
  throw new Error(reason);
}

function columnsChosen() {
  const chosen = {};
  if (byId("guided-text").value) chosen.text_column = byId("guided-text").value;
  if (byId("guided-label").value) chosen.label_column = byId("guided-label").value;
  return chosen;
}

async function look() {
  const body = new FormData();
  body.append("table", tableFile);
  body.append("options", JSON.stringify(columnsChosen()));
  byId("guided-go").disabled = true;
  byId("reading").textContent = "reading …";
  try {
    show(await (await answer("api/tables", { method: "POST", body })).json());
    byId("guided-go").disabled = false;
  } catch (error) {
    byId("reading").replaceChildren(element("p", error.message, { className: "failed" }));
  }
}

function offerColumns(columns) {
  byId("columns").hidden = false;
  for (const id of ["guided-text", "guided-label"]) {
    const box = byId(id), chosen = box.value;
    box.replaceChildren(element("option", "as guessed", { value: "" }), ...columns.map((name) => element("option", name, { value: name })));
    box.value = columns.includes(chosen) ? chosen : "";
  }
}

function row(tag, cells) {
  return element("tr", cells.map((cell) => element(tag, cell)));
}

function show(reading) {
  offerColumns(reading.columns);
  const sizes = Object.entries(reading.sizes).map(([name, rows]) => `${rows.toLocaleString()} ${name}`).join(", ");
  const lines = [
    element("p", `${reading.rows.toLocaleString()} rows: ${sizes}. It is read as ${reading.kind}; judged by ${reading.metric}.`),
    element("table", [row("th", reading.columns), ...reading.first_rows.map((cells) => row("td", cells))]),
  ];
  if (reading.labels.length) {
    const most = reading.labels[0].rows;
    const counted = reading.labels.map(({ label, rows }) => {
      const bar = element("meter", "", { max: most, value: rows });
      bar.setAttribute("aria-hidden", "true");
      return row("td", [label, bar, rows.toLocaleString()]);
    });
    lines.push(element("table", [row("th", [`${reading.num_labels} labels`, "", "rows of training"]), ...counted]));
  }
  lines.push(element("p", `${reading.duplicates.toLocaleString()} rows come twice. The longest text has ${reading.longest_words.toLocaleString()} words; ` +
    (reading.cut ? `at least ${reading.cut.toLocaleString()} texts are longer than the ${reading.max_length} tokens that a model reads, and cut there.` : "none has more words than a model reads.")));
  lines.push(element("ul", reading.notes.map((note) => element("li", note))));
  byId("reading").replaceChildren(...lines);
}

function take(file) {
  if (!file) return;
  tableFile = file;
  for (const id of ["guided-text", "guided-label"]) byId(id).replaceChildren();
  attempt(look);
}

async function go(event) {
  event.preventDefault();
  const goal = new FormData(event.target).get("goal"), options = { ...USUAL, ...columnsChosen() };
  options.max_trials = Number(byId("guided-trials").value);
  if (goal) {
    const limit = Number(byId(`guided-${goal}`).value) * (goal === "parameters" ? 1e6 : 1);
    options.constraints = [`${goal}=${limit}`];
  }
  const body = new FormData(), space = await (await answer("api/space")).blob();
  body.append("design_space", space, "space.yaml");
  body.append("table", tableFile);
  body.append("options", JSON.stringify(options));
  await answer("api/searches", { method: "POST", body });
  byId("guide").open = false;
  await refresh();
}

byId("guided-table").addEventListener("change", (event) => take(event.target.files[0]));
for (const id of ["guided-text", "guided-label"]) byId(id).addEventListener("change", () => attempt(look));
byId("guided").addEventListener("submit", (event) => { event.preventDefault(); attempt(() => go(event)); });
const place = byId("drop");
for (const [name, isOver] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
  place.addEventListener(name, (event) => {
    event.preventDefault();
    place.classList.toggle("over", isOver);
    if (name === "drop") {
      byId("guided-table").files = event.dataTransfer.files;
      take(event.dataTransfer.files[0]);
    }
  });
}
