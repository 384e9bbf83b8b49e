// Pictures of scores: as they came in, against what models cost, while they are trained. Numbers alone become markup;
// what trials and metrics are called is text.
"use strict";

const EDGE = 8;

function scale(low, high, from, to) {
  return (value) => (from + (high > low ? (value - low) / (high - low) : 0.5) * (to - from)).toFixed(1);
}

function drawn(width, height, markup, said) {
  const made = document.createElement("template");
  made.innerHTML = `<svg viewBox="0 0 ${width} ${height}" width="${width}" role="img">${markup}</svg>`;
  made.content.firstChild.setAttribute("aria-label", said);
  return made.content.firstChild;
}

// What each mark says when it is pointed at.
function titled(picture, trials, said) {
  picture.querySelectorAll("title").forEach((title, number) => { title.textContent = said(trials[number]); });
}

// The scores of a search as they came in, with standard errors, the best so far, and what the most frequent class
// reaches.
function curve({ scores, metric, most_frequent_class: least }) {
  const width = 520, height = 150, right = width - 60;
  const ends = scores.flatMap(({ score, error }) => [score - error, score + error]).concat(least ?? []);
  const low = Math.min(...ends), high = Math.max(...ends);
  const x = scale(0, Math.max(1, scores.length - 1), EDGE, right - EDGE), y = scale(low, high, height - EDGE, EDGE);
  let best = -Infinity, path = "", marks = "";
  scores.forEach(({ score, error }, number) => {
    path += path ? `H ${x(number)}` : `M ${x(number)} ${y(score)}`;
    if (score > best) { best = score; path += `V ${y(best)}`; }
    marks += `<path d="M ${x(number)} ${y(score - error)} V ${y(score + error)}" class="error"/><circle cx="${x(number)}" cy="${y(score)}" r="3.5" class="mark"><title></title></circle>`;
  });
  if (least !== null) marks += `<path d="M 0 ${y(least)} H ${right}" class="least"/>`;
  const shown = low < high ? [low, high] : [low];
  const labels = shown.map((value) => `<text x="${right + 4}" y="${Number(y(value)) + 4}">${value.toFixed(3)}</text>`).join("");
  const said = `${metric ?? "score"} of ${scores.length} trials; the best ${best.toFixed(4)}` + (least === null ? "" : `; the most frequent class ${least.toFixed(4)}`);
  const picture = drawn(width, height, `${marks}<path d="${path}" class="line"/>${labels}`, said);
  titled(picture, scores, ({ trial, score, error }) => `${trial}: ${score.toFixed(4)} ± ${error.toFixed(4)}`);
  const legend = `Each mark is a trained model and its ${metric ?? "score"} on validation, with one standard error; the line is the best so far.` +
    (least === null ? "" : ` Dashed: always the most frequent class, ${least.toFixed(4)}.`);
  return element("figure", [picture, element("figcaption", legend, { className: "quiet" })]);
}

// Scores against a cost, and the trials that no other beats in both; none where there are not two to compare.
function front({ scores, fronts, metric }, cost, unit) {
  const best = fronts[cost] ?? [], ofFront = new Set(best.map(({ trial }) => trial));
  const shown = [...best, ...scores.filter((one) => one[cost] !== null && !ofFront.has(one.trial))];
  if (shown.length < 2) return null;
  const width = 320, height = 160, right = width - 60, bottom = height - 24;
  const [left, most] = ends(shown.map((one) => one[cost])), [low, high] = ends(shown.flatMap(({ score, error }) => [score - error, score + error]));
  const x = scale(left, most, EDGE, right - EDGE), y = scale(low, high, bottom - EDGE, EDGE);
  const axes = `<path d="M ${EDGE / 2} ${EDGE / 2} V ${bottom} H ${right}" class="axis"/>`;
  const marks = shown.map((one, place) => `<path d="M ${x(one[cost])} ${y(one.score - one.error)} V ${y(one.score + one.error)}" class="error"/><circle cx="${x(one[cost])}" cy="${y(one.score)}" r="${place < best.length ? 4 : 3}" class="${place < best.length ? "mark" : "beaten"}"><title></title></circle>`).join("");
  const path = best.map((one, place) => `${place ? `H ${x(one[cost])} V` : `M ${x(one[cost])}`} ${y(one.score)}`).join(" ");
  const labels = (low < high ? [low, high] : [low]).map((value) => `<text x="${right + 4}" y="${Number(y(value)) + 4}">${value.toFixed(3)}</text>`).join("") +
    (left < most ? [left, most] : [left]).map((value, place) => `<text x="${x(value)}" y="${height - 6}" text-anchor="${place ? "end" : "start"}">${brief(value)}</text>`).join("");
  const said = `${metric ?? "score"} against ${unit}; no other beats ` + best.map((one) => `${one.trial} (${one.score.toFixed(4)}, ${brief(one[cost])})`).join(", ");
  const picture = drawn(width, height, `${axes}${marks}<path d="${path}" class="line"/>${labels}`, said);
  titled(picture, shown, (one) => `${one.trial}: ${one.score.toFixed(4)} ± ${one.error.toFixed(4)}, ${brief(one[cost])} ${unit}`);
  return element("figure", [picture, element("figcaption", `${metric ?? "score"} against ${unit}`, { className: "quiet" })]);
}

function ends(values) { return [Math.min(...values), Math.max(...values)]; }

function brief(value) { return value.toLocaleString("en", { notation: "compact", maximumSignificantDigits: 3 }); }

function fronts(search) {
  const pictures = [front(search, "parameters", "parameters"), front(search, "latency_ms", "milliseconds")].filter(Boolean);
  if (!pictures.length) return [];
  const legend = "Up is better, left is cheaper. No other model beats those on the line in both (the Pareto front); the pale ones are beaten. Bars are one standard error.";
  return [element("div", [...pictures, element("p", legend, { className: "quiet" })], { className: "fronts" })];
}

// The scores of a trial in training, after each round over the data.
function learning(points, metric) {
  const scores = points.map(([, score]) => score), rounds = points.map(([epoch]) => epoch);
  const x = scale(rounds[0], rounds.at(-1), EDGE, 120 - EDGE), y = scale(Math.min(...scores), Math.max(...scores), 32 - EDGE, EDGE);
  const marks = points.map(([epoch, score]) => `<circle cx="${x(epoch)}" cy="${y(score)}" r="2.5" class="mark"/>`).join("");
  const path = points.map(([epoch, score], number) => `${number ? "L" : "M"} ${x(epoch)} ${y(score)}`).join(" ");
  const said = `${metric} ${scores.at(-1).toFixed(4)} after ${rounds.at(-1)} rounds` + (scores.length > 1 ? `, ${scores[0].toFixed(4)} after ${rounds[0]}` : "");
  const picture = drawn(120, 32, `${marks}<path d="${path}" class="line"/>`, said);
  return element("span", [picture, said], { className: "learning" });
}
