"""The page's only script besides plotly: draws, re-themes, re-lays and downloads the figures.

Figures are drawn one by one when the browser is idle, so the text is readable at once. Every
drawing goes through `draw`, which fits a copy of the layout to the theme and the width at hand.
"""

SCRIPT = r"""
(() => {
"use strict";
const page = JSON.parse(document.getElementById("page-data").textContent);
const root = document.documentElement;
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const plots = [...document.querySelectorAll(".plot")];
const drawn = new Map();
const TITLE = 60, HEIGHT = 400;
let printing = false;

function isDark() {
  if (printing) return false;
  return root.dataset.theme ? root.dataset.theme === "dark" : prefersDark.matches;
}

// `room` is kept above the plot for a title; on the page the caption stands in for it.
function fitted(figure, width, dark, room) {
  const layout = structuredClone(figure.layout);
  layout.template = structuredClone(dark ? page.templates.dark : page.templates.light);
  layout.width = width;
  layout.autosize = false;
  if (printing) layout.paper_bgcolor = layout.plot_bgcolor = "#fff";
  const top = ((layout.margin || {}).t || layout.template.layout.margin.t) - (room ? 0 : TITLE);
  layout.margin = Object.assign({}, layout.margin, {t: top});
  layout.height = (layout.height || HEIGHT) - (room ? 0 : TITLE);
  if (width >= 480) return layout;
  layout.font = Object.assign({}, layout.font, {size: 11});
  layout.dragmode = false;
  layout.margin = Object.assign({}, layout.margin, {l: 44, r: 10});
  const named = figure.data.filter(trace => trace.name && trace.showlegend !== false).length;
  const bar = layout.coloraxis && layout.coloraxis.colorbar;
  if (bar) bar.nticks = 4;
  else if (named > 2 && layout.showlegend !== false) layout.height += 24;
  return layout;
}

function draw(index) {
  const box = plots[index], figure = page.figures[index];
  const width = printing ? Math.min(box.clientWidth, 640) : box.clientWidth;
  const key = width + "/" + isDark();
  if (!width || drawn.get(index) === key) return Promise.resolve();
  drawn.set(index, key);
  const config = {
    displaylogo: false,
    displayModeBar: width >= 480 ? "hover" : false,
    // Named one by one: by default plotly adds a button that uploads the figure.
    modeBarButtons: [["toImage", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
    showSendToCloud: false,
    plotlyServerURL: "",
    toImageButtonOptions: {format: "svg", filename: figure.name},
    doubleClick: "reset",
    responsive: false,
  };
  const layout = fitted(figure, width, isDark(), false);
  return Promise.resolve()  // so that what is thrown at once is caught too
    .then(() => Plotly.react(box, structuredClone(figure.data), layout, config))
    .then(() => { box.dataset.drawn = "yes"; })
    .catch(error => {
      box.innerHTML = "";
      const note = document.createElement("p");
      note.className = "problem";
      note.textContent = "This figure could not be drawn: " + error.message;
      box.append(note);
    });
}

const idle = window.requestIdleCallback || (run => setTimeout(run, 1));
const drawAll = () => Promise.all(plots.map((_, index) => draw(index)));
function drawInOrder(index) {
  if (index >= plots.length) { root.dataset.ready = "yes"; return; }
  draw(index).then(() => idle(() => drawInOrder(index + 1), {timeout: 200}));
}

function save(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], {type}));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 5000);
}

function saveImage(figure, format) {
  const width = figure.half ? 760 : 900, height = figure.layout.height || HEIGHT;
  const layout = Object.assign(fitted(figure, width, false, true), {title: figure.title, height});
  const options = {format, width, height, filename: figure.name, scale: format === "png" ? 2 : 1};
  Plotly.downloadImage({data: structuredClone(figure.data), layout}, options);
}

function copy(button) {
  const source = button.parentElement.querySelector("pre");
  const done = () => {
    button.textContent = "copied";
    setTimeout(() => { button.textContent = "copy"; }, 1600);
  };
  const select = () => {
    getSelection().selectAllChildren(source);
    if (document.execCommand("copy")) done();
  };
  if (navigator.clipboard) navigator.clipboard.writeText(source.textContent).then(done, select);
  else select();
}

function toggle() {
  root.dataset.theme = isDark() ? "light" : "dark";
  label();
  drawAll();
}
function label() {
  const button = document.getElementById("theme");
  button.textContent = isDark() ? "light theme" : "dark theme";
}

document.addEventListener("click", event => {
  const button = event.target.closest("button");
  if (!button) return;
  const figure = page.figures[Number(button.dataset.figure)], act = button.dataset.act;
  if (act === "theme") toggle();
  else if (act === "copy") copy(button);
  else if (act === "csv") save(figure.name + ".csv", "text/csv", figure.csv);
  else if (act === "svg" || act === "png") saveImage(figure, act);
});
prefersDark.addEventListener("change", () => { label(); drawAll(); });
addEventListener("beforeprint", () => { printing = true; drawAll(); });
addEventListener("afterprint", () => { printing = false; drawAll(); });
let timer = 0;
new ResizeObserver(() => {
  clearTimeout(timer);
  timer = setTimeout(() => { if (root.dataset.ready && !printing) drawAll(); }, 120);
}).observe(document.querySelector(".body"));
label();
drawInOrder(0);
})();
""".strip()
