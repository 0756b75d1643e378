// uPlot draws the figures; this gives it their data, and lets a reader choose runs, smooth, and go through by keys.
(() => {
  "use strict";
  const ROW = 32, LINE = 15, HEIGHT = 250, NARROW = 640; // pixels
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);
  const figureText = (value) => value == null ? "—" : `${+value.toPrecision(4)}`;
  const all = []; // every plot of the page
  const off = new Set(); // labels of the lines that are not shown, in any of them

  /** A line as TensorBoard smooths it: the mean of what came before, weighted by `share` to the power of its age. */
  const smoothed = (values, share) => {
    let sum = 0, weight = 0;
    return values.map((value) => {
      if (value == null || share === 0) return value;
      sum = share * sum + (1 - share) * value;
      weight = share * weight + 1 - share;
      return sum / weight;
    });
  };
  const data = ({ xs, lines }, share) => [
    xs, ...lines.flatMap(({ values, low, high }) => [values, ...(low.length ? [low, high] : [])].map((each) => smoothed(each, share))),
  ];

  function show(label, shown) {
    off[shown ? "delete" : "add"](label);
    for (const plot of all) {
      plot.batch(() => plot.series.forEach((series, index) => {
        if (index && series.run === label && series.show !== shown) plot.setSeries(index, { show: shown }, false);
      }));
      for (const row of plot.root.querySelectorAll("[role=switch]")) row.setAttribute("aria-checked", !off.has(row.dataset.run));
    }
  }

  function options(panel, width, key) {
    const rows = panel.names.length > 0;
    const series = [{ label: panel.x_label || " ", value: (_, value) => rows ? panel.names[value] ?? "—" : figureText(value) }];
    const bands = [];
    for (const { label, color, dash, points, values, low } of panel.lines) {
      const at = series.length;
      series.push({
        label, run: label, show: !off.has(label), stroke: color, width: 1.75, dash: dash.length ? dash : undefined, spanGaps: true,
        value: (_, value) => figureText(value), paths: points ? () => null : undefined, points: { show: points || values.length < 3 || undefined, size: points ? 8 : 5, fill: color },
      });
      if (!low.length) continue;
      for (const end of ["from", "to"]) {
        series.push({ label: end, run: label, show: !off.has(label), class: rows ? undefined : "band", stroke: "transparent", spanGaps: true, points: { show: false }, value: (_, value) => figureText(value) });
      }
      if (!rows) bands.push({ series: [at + 2, at + 1], fill: `${color}24` });
    }
    const axis = { stroke: () => css("--muted"), grid: { stroke: () => css("--border"), width: 1 }, ticks: { stroke: () => css("--border"), width: 1 }, font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif" };
    const common = { width, series, bands, title: panel.title || undefined, legend: { markers: { width: 0, fill: (plot, index) => plot.series[index].stroke() } } };
    if (rows) {
      const wide = width > NARROW;
      const letters = wide ? 60 : 20;
      const names = panel.names.map((name) => name.replace(new RegExp(`(.{1,${letters}})(?: |$)`, "g"), "$1\n").trim().split("\n"));
      const size = Math.min(width * 0.5, 16 + 6.8 * Math.max(...names.flat().map((line) => line.length)));
      const row = Math.max(ROW, 10 + LINE * Math.max(...names.map((lines) => lines.length)));
      return {
        ...common, height: names.length * row + 60,
        scales: { x: { time: false, ori: 1, dir: -1, range: () => [-0.6, names.length - 0.4] }, y: { ori: 0, range: (_, low, high) => [Math.min(low, 0) - (high - low) / 20, Math.max(high, 0) + (high - low) / 20] } },
        axes: [{ ...axis, side: 3, size, splits: () => panel.xs, values: () => names.map((lines) => lines.join("\n")), grid: { show: false } }, { ...axis, side: 2, label: wide ? panel.y_label : undefined, size: 34 }],
        hooks: { draw: [intervals] },
      };
    }
    return {
      ...common, height: HEIGHT, scales: { x: { time: false } }, cursor: { sync: { key } },
      axes: [{ ...axis, label: panel.x_label, labelSize: 18, size: 32, incrs: panel.xs.every(Number.isInteger) ? [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] : undefined }, { ...axis, label: panel.y_label || undefined, labelSize: 18, size: 52 }],
    };
  }

  /** Draw the intervals of rows, and zero, which a series can't: it has one value at a position. */
  function intervals(plot) {
    const [xs, , low, high] = plot.data;
    const line = (x0, y0, x1, y1, color, width) => {
      Object.assign(plot.ctx, { strokeStyle: color, lineWidth: width * devicePixelRatio });
      plot.ctx.beginPath();
      plot.ctx.moveTo(x0, y0);
      plot.ctx.lineTo(x1, y1);
      plot.ctx.stroke();
    };
    const zero = plot.valToPos(0, "y", true);
    line(zero, plot.bbox.top, zero, plot.bbox.top + plot.bbox.height, css("--muted"), 1);
    for (const row of xs) {
      const y = plot.valToPos(row, "x", true);
      if (low[row] != null) line(plot.valToPos(low[row], "y", true), y, plot.valToPos(high[row], "y", true), y, plot.series[1].stroke(), 2);
    }
  }

  /** Make a legend's rows switches, and a plot a place where arrow keys go from value to value. */
  function byKeys(plot, panel) {
    const rows = [...plot.root.querySelectorAll(".u-series")];
    rows.forEach((row, index) => {
      const run = plot.series[index].run;
      if (!index || !run || row.classList.contains("band") || panel.names.length) return;
      Object.assign(row, { tabIndex: 0, title: "show or hide" }).setAttribute("role", "switch");
      row.setAttribute("aria-checked", !off.has(run));
      row.dataset.run = run;
      const toggle = (event) => {
        event.preventDefault();
        event.stopImmediatePropagation();
        show(run, off.has(run));
      };
      row.addEventListener("click", toggle, true); // before uPlot's own, which knows of one plot
      row.addEventListener("keydown", (event) => [" ", "Enter"].includes(event.key) && toggle(event));
    });
    plot.over.tabIndex = 0;
    plot.over.setAttribute("aria-label", `${panel.title || panel.y_label}: arrow keys show values`);
    plot.over.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const next = plot.cursor.idx == null ? 0 : Math.min(Math.max(plot.cursor.idx + step, 0), panel.xs.length - 1);
      const place = plot.valToPos(panel.xs[next], "x");
      plot.setCursor(panel.names.length ? { left: plot.over.clientWidth / 2, top: place } : { left: place, top: plot.over.clientHeight / 2 });
    });
  }

  document.querySelectorAll(".plot").forEach((box, number) => {
    const panels = JSON.parse(box.querySelector("script").textContent);
    const widthOf = () => Math.floor(box.clientWidth / Math.max(1, Math.min(panels.length, Math.floor(box.clientWidth / 300)))) - (panels.length > 1 ? 8 : 0);
    const plots = [];
    box.classList.toggle("several", panels.length > 1);
    let share = 0;
    if (panels.some((panel) => !panel.names.length && panel.lines.some((line) => !line.points && line.values.length > 3))) {
      const field = document.createElement("input");
      Object.assign(field, { type: "range", min: 0, max: 0.95, step: 0.05, value: 0 });
      const label = document.createElement("label");
      label.className = "smooth";
      label.append("smooth ", field);
      field.addEventListener("input", () => {
        share = field.valueAsNumber;
        plots.forEach((plot, index) => plot.setData(data(panels[index], share)));
      });
      box.before(label);
    }
    new ResizeObserver(() => { // a folded figure has no width, and is drawn when it is unfolded
      const width = widthOf();
      if (width <= 0 || plots[0]?.width === width) return;
      for (const plot of plots.splice(0)) {
        all.splice(all.indexOf(plot), 1);
        plot.destroy();
      }
      for (const panel of panels) {
        const plot = new uPlot(options(panel, width, number), data(panel, share), box);
        byKeys(plot, panel);
        plots.push(plot);
        all.push(plot);
      }
    }).observe(box);
  });

  const redraw = () => all.forEach((plot) => plot.redraw(false));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  document.getElementById("theme").addEventListener("click", redraw);
})();
