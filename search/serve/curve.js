// The scores of a search as they came in, with standard errors, and the best so far: a small picture.
"use strict";

const WIDTH = 320, HEIGHT = 90, EDGE = 6;

function curve(scores) {
  const low = Math.min(...scores.map(({ score, error }) => score - error));
  const high = Math.max(...scores.map(({ score, error }) => score + error));
  const x = (number) => (EDGE + (number * (WIDTH - 2 * EDGE)) / Math.max(1, scores.length - 1)).toFixed(1);
  const y = (score) => (HEIGHT - EDGE - ((score - low) * (HEIGHT - 2 * EDGE)) / (high - low || 1)).toFixed(1);
  let best = -Infinity, path = "", marks = "";
  scores.forEach(({ score, error }, number) => {
    path += path ? `H ${x(number)}` : `M ${x(number)} ${y(score)}`;
    if (score > best) { best = score; path += `V ${y(best)}`; }
    marks += `<path d="M ${x(number)} ${y(score - error)} V ${y(score + error)}" stroke="currentColor" stroke-opacity="0.3"/>`;
    marks += `<circle cx="${x(number)}" cy="${y(score)}" r="3" fill="#2b8cc4"><title></title></circle>`;
  });
  const made = document.createElement("template");
  // Numbers alone become markup; what trials are called is text.
  made.innerHTML = `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" role="img">${marks}<path d="${path}" fill="none" stroke="currentColor"/></svg>`;
  const picture = made.content.firstChild;
  picture.querySelectorAll("title").forEach((title, number) => {
    const { trial, score, error } = scores[number];
    title.textContent = `${trial}: ${score.toFixed(4)} ± ${error.toFixed(4)}`;
  });
  picture.setAttribute("aria-label", `scores of ${scores.length} trials, from ${low.toFixed(4)} to ${high.toFixed(4)}; the best ${best.toFixed(4)}`);
  return picture;
}
