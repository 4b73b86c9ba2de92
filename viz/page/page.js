// The page's only script besides plotly: draws, re-themes, re-lays and downloads the figures.
// Figures are drawn one by one when the browser is idle, so the text is readable at once; those
// that need WebGL wait until they are scrolled into view. Every drawing goes through `draw`, which
// fits a copy of the layout to the theme and the width at hand.
(() => {
  "use strict";
  const page = JSON.parse(document.getElementById("page-data").textContent);
  const root = document.documentElement;
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const plots = [...document.querySelectorAll(".plot")];
  const drawn = new Map();
  const TITLE = 60,
    HEIGHT = 400;
  const NO_WEBGL =
    "This view needs WebGL, which this browser does not offer. The flat view beside " +
    "it shows the same prompts, and the data can be downloaded below.";
  let printing = false;

  // Asked once: each canvas that is tried would cost a context.
  let asked = null;
  function hasWebgl() {
    if (asked === null) {
      const context = document.createElement("canvas").getContext("webgl");
      asked = context !== null;
      if (context) context.getExtension("WEBGL_lose_context")?.loseContext();
    }
    return asked;
  }

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
    const top = (layout.margin?.t || layout.template.layout.margin.t) - (room ? 0 : TITLE);
    layout.margin = Object.assign({}, layout.margin, { t: top });
    layout.height = (layout.height || HEIGHT) - (room ? 0 : TITLE);
    if (width >= 480) return layout;
    layout.font = Object.assign({}, layout.font, { size: 11 });
    layout.dragmode = false;
    layout.margin = Object.assign({}, layout.margin, { l: 44, r: 10 });
    const named = figure.data.filter((trace) => trace.name && trace.showlegend !== false).length;
    const bar = layout.coloraxis?.colorbar;
    if (bar) bar.nticks = 4;
    else if (named > 2 && layout.showlegend !== false) layout.height += 24;
    return layout;
  }

  function draw(index) {
    const box = plots[index],
      figure = page.figures[index];
    const width = printing ? Math.min(box.clientWidth, 640) : box.clientWidth;
    const deep = "three" in box.dataset;
    if (deep && !("seen" in box.dataset)) return Promise.resolve();
    if (deep && !hasWebgl()) {
      note(box, NO_WEBGL);
      return Promise.resolve();
    }
    const key = `${width}/${isDark()}`;
    const folded = box.closest("details.part:not([open])") !== null;
    if (!width || folded || drawn.get(index) === key) return Promise.resolve();
    drawn.set(index, key);
    const config = {
      displaylogo: false,
      displayModeBar: width >= 480 ? "hover" : false,
      // Named one by one: by default plotly adds a button that uploads the figure.
      modeBarButtons: [["toImage", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
      showSendToCloud: false,
      plotlyServerURL: "",
      toImageButtonOptions: { format: "svg", filename: figure.name },
      doubleClick: "reset",
      responsive: false,
    };
    const layout = fitted(figure, width, isDark(), false);
    const data = structuredClone(figure.data);
    // On a phone the names of many points would lie on one another; a tap gives each.
    const crowded = (trace) => width < 480 && trace.mode === "markers+text" && trace.x.length > 6;
    data.filter(crowded).forEach((trace) => {
      trace.mode = "markers";
    });
    return Promise.resolve() // so that what is thrown at once is caught too
      .then(() => Plotly.react(box, data, layout, config))
      .then(() => {
        box.dataset.drawn = "yes";
      })
      .then(() => listen(index))
      .catch((error) => note(box, `This figure could not be drawn: ${error.message}`));
  }

  function note(box, text) {
    const words = document.createElement("p");
    words.className = "problem";
    words.textContent = text;
    box.replaceChildren(words);
    box.style.minHeight = "0";
  }

  // Behind a cell of a heatmap: its prompts. A click chooses it, or the two lists below the plot.
  const heard = new Set();
  function listen(index) {
    if (!page.figures[index].drill || heard.has(index)) return;
    heard.add(index);
    plots[index].on("plotly_click", (event) => {
      const at = event.points[0];
      if (typeof at.x === "number" && typeof at.y === "number") show(index, [at.y, at.x], true);
    });
  }
  const signed = (value) => (value > 0 ? "+" : "") + value.toFixed(3);
  function show(index, cell, opened) {
    const box = document.querySelector(`.drill[data-figure="${index}"]`);
    const drill = page.figures[index].drill,
      body = box.querySelector("tbody");
    if (opened) box.open = true;
    box.querySelectorAll("select").forEach((list, axis) => {
      list.value = cell[axis];
    });
    const effects = drill.effects[cell[0]][cell[1]];
    const size = (i) => Math.abs(effects[i]);
    const order = effects.map((_, i) => i).sort((a, b) => size(b) - size(a));
    body.replaceChildren(
      ...order.map((i) => {
        const row = document.createElement("tr"),
          effect = effects[i],
          base = drill.base[i];
        const there = typeof effect === "number";
        const share =
          there && Math.abs(drill.full[i]) > 1e-6
            ? `${((100 * effect) / drill.full[i]).toFixed(0)}%`
            : "";
        const patched = there ? (base + effect).toFixed(3) : "undefined";
        const cells = [
          drill.prompts[i],
          base.toFixed(3),
          patched,
          there ? signed(effect) : "",
          share,
        ];
        cells.forEach((text, column) => {
          const data = document.createElement("td");
          if (column) data.className = "num";
          data.textContent = text;
          row.append(data);
        });
        return row;
      }),
    );
  }
  function strongest(index) {
    const effects = page.figures[index].drill.effects;
    const size = (values) => Math.abs(values.reduce((sum, v) => sum + (v || 0), 0));
    let best = [0, 0],
      most = -1;
    for (const [i, row] of effects.entries()) {
      for (const [j, cell] of row.entries()) {
        if (size(cell) > most) {
          most = size(cell);
          best = [i, j];
        }
      }
    }
    return best;
  }

  const idle = window.requestIdleCallback || ((run) => setTimeout(run, 1));
  const drawAll = () => Promise.all(plots.map((_, index) => draw(index)));
  function drawInOrder(index) {
    if (index >= plots.length) {
      root.dataset.ready = "yes";
      return;
    }
    draw(index).then(() => idle(() => drawInOrder(index + 1), { timeout: 200 }));
  }

  function save(name, type, text) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 5000);
  }

  function saveImage(figure, format) {
    const width = figure.half ? 760 : 900,
      height = figure.layout.height || HEIGHT;
    const layout = Object.assign(fitted(figure, width, false, true), {
      title: figure.title,
      height,
    });
    const options = {
      format,
      width,
      height,
      filename: figure.name,
      scale: format === "png" ? 2 : 1,
    };
    Plotly.downloadImage({ data: structuredClone(figure.data), layout }, options);
  }

  function copy(button) {
    const source = button.parentElement.querySelector("pre");
    const done = () => {
      button.textContent = "copied";
      setTimeout(() => {
        button.textContent = "copy";
      }, 1600);
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

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const figure = page.figures[Number(button.dataset.figure)],
      act = button.dataset.act;
    if (act === "theme") toggle();
    else if (act === "copy") copy(button);
    else if (act === "file") {
      const file = page.files[Number(button.dataset.file)];
      save(`${file.name}.csv`, "text/csv", file.csv);
    } else if (act === "csv") save(`${figure.name}.csv`, "text/csv", figure.csv);
    else if (act === "svg" || act === "png") saveImage(figure, act);
  });
  document.addEventListener("change", (event) => {
    const list = event.target.closest(".drill select");
    if (!list) return;
    const box = list.closest(".drill");
    show(
      Number(box.dataset.figure),
      [...box.querySelectorAll("select")].map((l) => Number(l.value)),
    );
  });
  // The figures of a folded part are drawn when it is opened.
  for (const box of document.querySelectorAll("details.part")) {
    box.addEventListener("toggle", () => {
      if (box.open) drawAll();
    });
  }
  for (const box of document.querySelectorAll(".drill")) {
    box.addEventListener("toggle", () => {
      const index = Number(box.dataset.figure);
      if (box.open && !box.querySelector("tbody").children.length) show(index, strongest(index));
    });
  }

  // Coloured text: arrow keys go from token to token, the reading stands below.
  function read(token) {
    const out = token.closest(".strip").querySelector(".reading");
    out.textContent = `${token.textContent.trim() || "·"}  ${token.dataset.v}  (${out.dataset.unit})`;
  }
  document.addEventListener("focusin", (event) => {
    const token = event.target.closest(".tok");
    if (!token) return;
    token.parentElement.querySelectorAll(".tok").forEach((t) => {
      t.tabIndex = t === token ? 0 : -1;
    });
    read(token);
  });
  document.addEventListener("mouseover", (event) => {
    const token = event.target.closest(".tok");
    if (token) read(token);
  });
  document.addEventListener("keydown", (event) => {
    const token = event.target.closest(".tok");
    if (!token) return;
    const all = [...token.parentElement.querySelectorAll(".tok")],
      at = all.indexOf(token);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined || !all[to]) return;
    event.preventDefault();
    all[to].focus();
  });

  const watching = new IntersectionObserver(
    (entries) =>
      entries
        .filter((entry) => entry.isIntersecting)
        .forEach((entry) => {
          entry.target.dataset.seen = "yes";
          watching.unobserve(entry.target);
          draw(plots.indexOf(entry.target));
        }),
    { rootMargin: "200px" },
  );
  for (const box of plots) if ("three" in box.dataset) watching.observe(box);

  prefersDark.addEventListener("change", () => {
    label();
    drawAll();
  });
  // On paper nothing can be opened.
  addEventListener("beforeprint", () => {
    printing = true;
    document.querySelectorAll("details.part").forEach((box) => {
      box.open = true;
    });
    drawAll();
  });
  addEventListener("afterprint", () => {
    printing = false;
    drawAll();
  });
  let timer = 0;
  new ResizeObserver(() => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (root.dataset.ready && !printing) drawAll();
    }, 120);
  }).observe(document.querySelector(".body"));
  label();
  drawInOrder(0);
})();
