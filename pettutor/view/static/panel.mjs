// A panel: one volume with its title, pictures, colour bar, window boxes and the value under the cursor.

import { colourTable, formatNumber, LEVELS, niceTicks, paint } from "./colour.mjs";
import { make, makeSvg } from "./dom.mjs";
import { AXES, clamp, Grid, PLANES } from "./geometry.mjs";

/** One plane of one volume: a canvas of a pixel a voxel, stretched by the page to its size in mm, and lines over it. */
class View {
  constructor(panel, plane) {
    this.panel = panel;
    this.plane = plane;
    const { volume, grid } = panel;
    const { row, column } = PLANES[plane];
    const [rows, columns] = [volume.shape[row], volume.shape[column]];
    const [width, height] = grid.extent(plane);
    this.codes = new volume.codes.constructor(rows * columns);
    this.canvas = make("canvas", { width: columns, height: rows, "aria-hidden": "true" });
    this.context = this.canvas.getContext("2d");
    this.image = this.context.createImageData(columns, rows);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.lines = Array.from({ length: 4 }, () => makeSvg("line", { "vector-effect": "non-scaling-stroke" }));
    this.overlay = makeSvg(
      "svg",
      { viewBox: `0 0 ${columns} ${rows}`, preserveAspectRatio: "none", "aria-hidden": "true" },
      ...this.lines,
    );
    this.stage = make("div", { class: "ptv-stage" }, this.canvas, this.overlay);
    this.element = make(
      "div",
      {
        class: "ptv-view",
        "data-plane": plane,
        tabindex: "0",
        role: "slider",
        "aria-orientation": "vertical",
        "aria-label": `${panel.name}, ${plane} slice`,
        "aria-valuemin": "0",
        "aria-valuemax": String(volume.shape[PLANES[plane].slice] - 1),
        style: `--ptv-width:${width};--ptv-height:${height};aspect-ratio:${width}/${height}`,
      },
      this.stage,
      make("span", { class: "ptv-caption", "aria-hidden": "true" }, plane),
    );
  }

  draw({ position, frame, crosshair, zoom, focus }) {
    const { volume, grid, table } = this.panel;
    const axis = PLANES[this.plane].slice;
    const voxel = grid.voxel(position);
    const inside = voxel[axis] >= 0 && voxel[axis] < volume.shape[axis];
    this.element.classList.toggle("ptv-outside", !inside);
    if (inside) {
      volume.slice(frame, this.plane, voxel[axis], this.codes);
      paint(this.codes, table, this.pixels);
      this.context.putImageData(this.image, 0, 0);
    }
    this.element.setAttribute("aria-valuenow", String(voxel[axis]));
    this.element.setAttribute("aria-valuetext", inside ? `${AXES[axis]} ${voxel[axis]}` : "outside this volume");
    this.overlay.style.display = crosshair ? "" : "none";
    this.overlay.style.strokeWidth = `${1 / zoom}px`;
    if (crosshair) this.#cross(grid.pixel(this.plane, voxel), zoom);
    this.stage.style.transform = zoom > 1 ? this.#magnify(zoom, grid.pixel(this.plane, grid.voxel(focus))) : "";
  }

  /** Magnified about a pixel, but never past the edge of the picture. */
  #magnify(zoom, [row, column]) {
    const shift = (pixel, count) => 100 * clamp(0.5 - (zoom * (pixel + 0.5)) / count, 1 - zoom, 0);
    return `translate(${shift(column, this.canvas.width)}%, ${shift(row, this.canvas.height)}%) scale(${zoom})`;
  }

  /** Four strokes that leave the voxel itself free. */
  #cross([row, column], zoom) {
    const { width, height } = this.canvas;
    const [x, y] = [column + 0.5, row + 0.5];
    const [gapX, gapY] = [Math.max(1, (width * 0.025) / zoom), Math.max(1, (height * 0.025) / zoom)];
    const strokes = [
      [0, y, x - gapX, y],
      [x + gapX, y, width, y],
      [x, 0, x, y - gapY],
      [x, y + gapY, x, height],
    ];
    strokes.forEach((ends, i) => {
      const drawn = i < 2 ? ends[2] > ends[0] : ends[3] > ends[1];
      ["x1", "y1", "x2", "y2"].forEach((name, k) => this.lines[i].setAttribute(name, drawn ? ends[k] : -9));
    });
  }
}

export class Panel {
  constructor(settings, volume, lut, number, changed) {
    Object.assign(this, { settings, volume, lut, changed });
    this.name = settings.title || `panel ${number + 1}`;
    this.grid = new Grid({ ...settings.grid, shape: volume.shape });
    this.window = settings.window;
    this.views = [];
    this.value = make("output", { class: "ptv-value", "aria-label": `value in ${this.name}` });
    this.pictures = make("div", { class: "ptv-pictures" });
    const title = settings.title || " ";
    const rule = (kind) => (settings[kind] ? make("div", { class: `ptv-${kind}` }, settings[kind]) : null);
    this.element = make(
      "section",
      { class: "ptv-panel", "aria-label": this.name },
      make("header", {}, make("span", { class: "ptv-title", title }, title), this.value),
      rule("ylabel"),
      this.pictures,
      rule("xlabel"),
      this.#makeScale(),
    );
    this.setWindow(this.window);
  }

  showPlanes(planes) {
    this.views = planes.map((plane) => new View(this, plane));
    const widest = Math.max(...planes.map((plane) => this.grid.extent(plane)[0]));
    this.pictures.style.setProperty("--ptv-widest", widest);
    this.pictures.replaceChildren(...this.views.map((view) => view.element));
  }

  draw(state) {
    for (const view of this.views) view.draw(state);
  }

  readout(position, frame) {
    const value = this.volume.valueAt(frame, this.grid.voxel(position));
    const unit = this.settings.unit ? ` ${this.settings.unit}` : "";
    this.value.textContent = value === undefined ? "–" : formatNumber(value, 4) + unit;
  }

  setWindow(window) {
    this.window = window;
    this.table = colourTable(this.volume, this.lut, window);
    [this.low, this.high].forEach((box, i) => {
      box.value = formatNumber(window[i]);
      box.removeAttribute("aria-invalid");
    });
    if (this.settings.colorbar) this.#drawBar();
  }

  #makeScale() {
    const box = (name, side) => {
      const input = make("input", {
        class: `ptv-box ptv-${side}`,
        inputmode: "decimal",
        spellcheck: "false",
        autocomplete: "off",
        "aria-label": `${name} of the window of ${this.name}`,
        title: `${name} of the window (double click on the bar: back to the first one)`,
      });
      input.addEventListener("change", () => this.#readBoxes(input));
      return input;
    };
    this.low = box("minimum", "low");
    this.high = box("maximum", "high");
    this.bar = make("canvas", { class: "ptv-bar", width: LEVELS, height: 1, "aria-hidden": "true" });
    this.bar.addEventListener("dblclick", () => {
      this.setWindow(this.settings.window);
      this.changed();
    });
    this.ticks = make("div", { class: "ptv-ticks", "aria-hidden": "true" });
    const unit = make("span", { class: "ptv-unit" }, this.settings.unit || "");
    return make(
      "div",
      { class: "ptv-scale" },
      this.settings.colorbar ? this.bar : null,
      make("div", { class: "ptv-range" }, this.low, this.ticks, this.high),
      this.settings.unit && this.settings.colorbar ? unit : null,
    );
  }

  #readBoxes(changedBox) {
    const read = (box, old) => {
      const text = box.value.trim().replace("−", "-").replace(",", ".");
      // an end that was not edited keeps its full precision
      return box === changedBox ? (text === "" ? NaN : Number(text)) : old;
    };
    const window = [read(this.low, this.window[0]), read(this.high, this.window[1])];
    if (!window.every(Number.isFinite) || window[0] >= window[1]) {
      changedBox.setAttribute("aria-invalid", "true");
      return;
    }
    this.setWindow(window);
    this.changed();
  }

  #drawBar() {
    const context = this.bar.getContext("2d");
    const image = context.createImageData(LEVELS, 1);
    for (let i = 0; i < LEVELS; i++) {
      for (let k = 0; k < 3; k++) image.data[4 * i + k] = this.lut[3 * i + k];
      image.data[4 * i + 3] = 255;
    }
    context.putImageData(image, 0, 0);
    const [low, high] = this.window;
    const place = (tick) => (tick - low) / (high - low);
    const free = niceTicks(this.window, 4).filter((tick) => place(tick) > 0.2 && place(tick) < 0.77); // of the two boxes
    this.ticks.replaceChildren(
      ...free.map((tick) => make("span", { style: `left:${100 * place(tick)}%` }, formatNumber(tick))),
    );
  }
}

