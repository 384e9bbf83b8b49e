// A search in three steps: a table is shown as the service reads it, and can be read otherwise; a goal; go. Uses what
// page.js has: the token, elements, messages.
"use strict";

const USUAL = { epochs: 2, num_init: 3, pretrain_steps: 120, max_length: 64 };
let tableFile = null;

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
    show(await (await call("api/tables", { method: "POST", body })).json());
    byId("guided-go").disabled = false;
  } catch (error) {
    byId("reading").replaceChildren(element("p", error.message, { className: "failed", role: "alert" }));
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

function table(caption, head, rows) {
  return element("div", element("table", [element("caption", caption), element("thead", row("th", head)), element("tbody", rows)]), { className: "wide" });
}

function show(reading) {
  offerColumns(reading.columns);
  const sizes = Object.entries(reading.sizes).map(([name, rows]) => `${rows.toLocaleString()} ${name}`).join(", ");
  const lines = [
    element("p", `${reading.rows.toLocaleString()} rows: ${sizes}. It is read as ${reading.kind}; judged by ${reading.metric}.`),
    table("The first rows", reading.columns, reading.first_rows.map((cells) => row("td", cells))),
  ];
  if (reading.labels.length) {
    const most = reading.labels[0].rows;
    const counted = reading.labels.map(({ label, rows }) => {
      const bar = element("meter", "", { max: most, value: rows });
      bar.setAttribute("aria-hidden", "true");
      return row("td", [label, bar, rows.toLocaleString()]);
    });
    lines.push(table(`${reading.num_labels} labels`, ["label", "", "rows of training"], counted));
  }
  lines.push(element("p", `${reading.duplicates ? `${reading.duplicates.toLocaleString()} rows come twice` : "No row comes twice"}. The longest text has ${reading.longest_words.toLocaleString()} words; ` +
    (reading.cut ? `at least ${reading.cut.toLocaleString()} texts are longer than the ${reading.max_length} tokens that a model reads, and cut there.` : "none has more words than a model reads.")));
  lines.push(element("ul", reading.notes.map((note) => element("li", note))));
  byId("reading").replaceChildren(...lines);
  byId("news").textContent = lines[0].textContent;
}

function take(file) {
  if (!file) return;
  tableFile = file;
  for (const id of ["guided-text", "guided-label"]) byId(id).replaceChildren();
  attempt(look);
}

// What a search may start from: nothing, or an encoder that the service offers.
function offerEncoders(names) {
  const choices = (first) => [element("option", first, { value: "" }), ...names.map((name) => element("option", name, { value: name }))];
  byId("guided-start").replaceChildren(...choices("scratch: small architectures"));
  byId("start_from").replaceChildren(...choices("none"));
  byId("no-encoders").hidden = names.length > 0;
}

// The goals of the chosen start, the first of them chosen.
function chooseStart() {
  for (const [id, isChosen] of [["from-scratch", !byId("guided-start").value], ["from-encoder", Boolean(byId("guided-start").value)]]) {
    byId(id).hidden = !isChosen;
    byId(id).disabled = !isChosen;
    if (isChosen) byId(id).querySelector("input[type=radio]").checked = true;
  }
}

async function scratch(goal, body) {
  const options = { ...USUAL, ...columnsChosen(), max_trials: Number(byId("guided-trials").value) };
  if (goal === "parameters") options.constraints = [`parameters=${Number(byId("guided-parameters").value) * 1e6}`];
  if (goal === "scratch_ms") options.constraints = [`latency_ms=${byId("guided-scratch_ms").value}`];
  body.append("design_space", await (await call("api/space")).blob(), "space.yaml");
  return options;
}

async function go(form) {
  const goal = new FormData(form).get("goal"), start = byId("guided-start").value, body = new FormData();
  const options = start ? { ...columnsChosen(), [goal]: Number(byId(`guided-${goal}`).value) } : await scratch(goal, body);
  if (start) body.append("start_from", start);
  body.append("table", tableFile);
  body.append("options", JSON.stringify(options));
  await post("api/searches", body);
  byId("guide").open = false;
  byId("all").focus();
}

byId("guided-table").addEventListener("change", (event) => take(event.target.files[0]));
for (const id of ["guided-text", "guided-label"]) byId(id).addEventListener("change", () => attempt(look));
byId("guided-start").addEventListener("change", chooseStart);
byId("guided").addEventListener("submit", (event) => { event.preventDefault(); attempt(() => go(event.target)); });
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
