// Under the panels: the numbers of the circles, and the values along the line.

import { formatNumber } from "./colour.mjs";
import { make, makeLegend, makeSvg } from "./dom.mjs";
import { measureCircle, profileAlong } from "./measuring.mjs";

const STROKES = ["#2f7fd6", "#e07a00", "#2a9d5c", "#c2478f", "#8a6d3b", "#7a5cc9"];
const stroke = (i) => STROKES[i % STROKES.length];
const [WIDTH, HEIGHT, EDGE] = [420, 130, 4];

export class Results {
  constructor(viewer) {
    this.viewer = viewer;
    this.shown = "";
    this.table = make("div", { class: "ptv-rois", "aria-live": "polite" });
    this.plot = make("figure", { class: "ptv-profile", hidden: true });
    this.element = make("div", { class: "ptv-results" }, this.table, this.plot);
  }

  /** Measure anew where circles, line or frame have changed. */
  draw({ rois, line, frame }) {
    const frames = this.viewer.panels.map(({ volume }) => volume.frames.length);
    const key = JSON.stringify([rois, line, frame, frames]);
    if (key === this.shown) return;
    this.shown = key;
    this.table.replaceChildren(...(rois.length ? [this.#makeTable(rois, frame)] : []));
    this.plot.hidden = !line.length;
    this.plot.replaceChildren(...(line.length ? this.#makePlot(line, frame) : []));
  }

  #makeTable(rois, frame) {
    const { panels, settings } = this.viewer;
    const found = rois.map((roi) => panels.map(({ volume, grid }) => measureCircle(volume, grid, frame, roi)));
    const cell = ({ count, mean, sd, max }) =>
      make("td", {}, count ? `${formatNumber(mean)} ± ${formatNumber(sd, 3)}, max ${formatNumber(max)}` : "–");
    const rows = found.map((cells, i) => {
      const remove = this.#makeRemover(`ROI ${i + 1}`, () => this.viewer.changeRois(rois.filter((_, k) => k !== i)));
      return make("tr", {}, make("th", { scope: "row" }, `ROI ${i + 1} `, remove), ...cells.map(cell));
    });
    if (rois.length > 1) {
      const contrasts = panels.map((_, k) => found[0][k].mean / found[1][k].mean - 1);
      const row = (name, title, numbers) =>
        rows.push(make("tr", {}, make("th", { scope: "row", title }, name), ...numbers.map((n) => make("td", {}, formatNumber(n, 3)))));
      row("contrast", "mean of ROI 1 over that of ROI 2, less 1", contrasts);
      const truth = settings.reference;
      if (truth !== null) row("CRC", `contrast over that of ${panels[truth].name}`, contrasts.map((c) => c / contrasts[truth]));
    }
    const head = make("tr", {}, make("td"), ...panels.map((panel) => make("th", { scope: "col" }, panel.name)));
    const caption = make("caption", {}, "mean ± standard deviation, maximum");
    return make("table", {}, caption, make("thead", {}, head), make("tbody", {}, ...rows));
  }

  #makePlot(line, frame) {
    const { panels, grid, settings } = this.viewer;
    const curves = panels.map((panel) => profileAlong(panel.volume, panel.grid, frame, line, grid));
    const values = curves.flat().map(({ value }) => value).filter(Number.isFinite);
    const [low, high] = [values.reduce((a, b) => Math.min(a, b), 0), values.reduce((a, b) => Math.max(a, b), 0)];
    const length = curves[0].at(-1).distance || 1;
    const x = (distance) => EDGE + (distance / length) * (WIDTH - 2 * EDGE);
    const y = (value) => HEIGHT - EDGE - ((value - low) / (high - low || 1)) * (HEIGHT - 2 * EDGE);
    const path = (curve) => {
      let pen = "M";
      return curve.map(({ distance, value }) => {
        const piece = Number.isFinite(value) ? `${pen}${x(distance).toFixed(1)} ${y(value).toFixed(1)}` : "";
        pen = piece ? "L" : "M";
        return piece;
      }).join("");
    };
    const unit = settings.lengths === "mm" ? "mm" : "voxels";
    const text = `values along a line of ${formatNumber(length)} ${unit}, from ${formatNumber(low)} to ${formatNumber(high)}`;
    const drawing = makeSvg(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": text },
      makeSvg("path", { class: "ptv-zero", d: `M0 ${y(0)}H${WIDTH}` }),
      ...curves.map((curve, i) => makeSvg("path", { d: path(curve), stroke: stroke(i) })),
    );
    const legend = makeLegend(panels.map((panel, i) => [stroke(i), panel.name]));
    const remove = this.#makeRemover("the profile", () => this.viewer.changeLine([]));
    const ends = (name, ...texts) => make("div", { class: name }, ...texts.map((text) => make("span", {}, text)));
    return [
      make("figcaption", {}, legend, remove),
      make("div", { class: "ptv-plot" }, ends("ptv-ends ptv-heights", formatNumber(high), formatNumber(low)), drawing),
      ends("ptv-ends", "0", `${formatNumber(length)} ${unit}`),
    ];
  }

  #makeRemover(what, remove) {
    const button = make("button", { type: "button", class: "ptv-quiet", "aria-label": `remove ${what}` }, "×");
    this.viewer.listen(button, "click", remove);
    return button;
  }
}
