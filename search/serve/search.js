// One search as an article: its state, verdict, curve, trials in training, what went wrong, and what can be done.
"use strict";

const STAGES = { library: "building the graph library", data: "preparing the data", search: "searching" };

// Draw a search, into its article where it has one. Its buttons stay as they are until others are needed: whoever has
// tabbed to one stays there.
function draw(search, article) {
  if (!article) {
    const heading = element("h3", "", { id: `name-${search.id}` });
    article = element("article", [heading, element("div"), element("p")]);
    article.setAttribute("aria-labelledby", heading.id);
  }
  const [heading, body, actions] = article.children;
  article.className = search.state;
  heading.textContent = search.name;
  renew(body, described(search));
  const offered = buttons(search), texts = offered.map((one) => one.textContent).join();
  if (actions.dataset.offered !== texts) {
    const hadFocus = actions.contains(document.activeElement);
    actions.replaceChildren(...offered);
    actions.dataset.offered = texts;
    if (hadFocus) offered[0]?.focus();
  }
  return article;
}

// Replace what is different, and nothing else: what is being read, or pointed at, stays.
function renew(box, lines) {
  lines.forEach((line, place) => {
    const old = box.children[place];
    if (!old) box.append(line);
    else if (!old.isEqualNode(line)) old.replaceWith(line);
  });
  while (box.children.length > lines.length) box.lastChild.remove();
}

function scored({ score, error }, { metric }) {
  return `${metric ?? "score"} ${score.toFixed(4)}${error ? ` ± ${error.toFixed(4)}` : ""}`;
}

function sized({ objectives }) {
  return objectives.parameters ? `, ${Math.round(objectives.parameters).toLocaleString()} parameters` : "";
}

function described(search) {
  const counts = search.trials, most = search.max_trials;
  const state = search.stage && search.state === "running" ? STAGES[search.stage] : search.state;
  const facts = [
    state + (search.queue_position ? `, number ${search.queue_position} in the queue` : ""),
    search.task && `task ${search.task}`,
    search.start_from ? `starts from ${search.start_from}` : "",
    new Date(search.created * 1000).toLocaleString(),
    duration(search.elapsed_s),
  ];
  const lines = [element("p", facts.filter(Boolean).join("; "), { className: "quiet" })];
  if (search.tested) lines.push(verdict(search));
  else if (search.best) lines.push(element("p", [element("b", `Best so far: ${scored(search.best, search)}`), ` (${search.best.name}, ${search.best.trial}${sized(search.best)})`]));
  if (search.best) lines.push(element("p", search.best.summary, { className: "quiet", title: search.best.architecture }));
  if (search.scores.length) lines.push(curve(search), ...fronts(search));
  if (most && !search.ended) {
    const bar = element("progress", "", { max: most, value: Math.min(most, counts.finished) });
    bar.setAttribute("aria-label", "finished trials");
    lines.push(bar);
  }
  const numbers = [[counts.failed, "failed"], [counts.running, "in training"], [counts.open, "open"]].filter(([number]) => number).map((one) => one.join(" "));
  const trained = search.training_s ? `; ${duration(search.training_s)} of training` : "";
  lines.push(element("p", [`${counts.finished}${most ? ` of ${most}` : ""} trials finished`, ...numbers].join(", ") + trained));
  if (search.running_trials.length) lines.push(element("ul", search.running_trials.map((trial) => training(trial, search))));
  for (const { trial, error } of search.failures) lines.push(element("p", `${trial} failed: ${error}`, { className: "failed" }));
  if (search.error) lines.push(element("p", search.error, { className: "failed" }));
  return lines;
}

// What the chosen model reaches on rows that the search did not see, beside what knowing nothing reaches.
function verdict(search) {
  const { tested, best } = search, least = tested.most_frequent_class;
  let beside = "";
  if (least !== null) {
    const isTold = Math.abs(tested.score - least) > 1.96 * tested.error;
    beside = ` Always the most frequent class: ${least.toFixed(4)}${isTold ? "" : ", which this score cannot be told apart from"}.`;
  }
  return element("p", [element("b", `Result: ${scored(tested, search)} on ${tested.split}`), ` (${best ? `${best.name}, ` : ""}${tested.trial}${best ? sized(best) : ""}).${beside}`], { className: "verdict" });
}

function training(trial, search) {
  const share = trial.progress === null ? "" : ` ${Math.round(trial.progress * 100)} %`;
  const loss = trial.loss === null ? "" : `, loss ${trial.loss.toFixed(3)}`;
  const architecture = element("span", trial.summary, { className: "quiet", title: trial.architecture });
  const line = element("li", [`${trial.name}, ${trial.trial}: ${trial.phase ?? "starting"}${share}${loss}, ${duration(trial.elapsed_s)}; `, architecture]);
  if (trial.curve.length) line.append(learning(trial.curve, search.metric ?? "score"));
  return line;
}

function buttons({ id, name, state, best, has_model }) {
  const shown = [], add = (text, action) => {
    const made = button(text, action);
    made.setAttribute("aria-label", `${text}, ${name}`);
    shown.push(made);
  };
  if (["queued", "running"].includes(state)) add("Stop", () => post(`api/searches/${id}/stop`));
  if (state === "stopping") add("Kill", () => post(`api/searches/${id}/stop`));
  if (["stopped", "failed", "interrupted"].includes(state)) add("Resume", () => post(`api/searches/${id}/resume`));
  if (best) add("Report", () => save(id, "report", `${id}.html`));
  if (has_model) add("Best model", () => save(id, "model", `${id}.zip`));
  if (state !== "queued") add("Log", () => save(id, "log", `${id}.txt`));
  return shown;
}
