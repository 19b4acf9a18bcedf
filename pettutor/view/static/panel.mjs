// A panel: one volume with its title, pictures, colour bar, window boxes and the value under the cursor.

import { colourTable, colourWords, formatNumber, LEVELS, niceTicks } from "./colour.mjs";
import { make, makeLegend } from "./dom.mjs";
import { Grid } from "./geometry.mjs";
import { View } from "./view.mjs";

/** Colours and window of a panel: one for its values and one for differences. */
const makeScale = (lut, window) => ({ lut, words: colourWords(lut), first: window, window });

/** A volume laid over a panel; its low end is transparent. */
function makeOverlay(settings, volume, lut) {
  const tables = new Map();
  const tableOf = ({ values }) => {
    if (!tables.has(values)) tables.set(values, colourTable(values, lut, settings.window, true));
    return tables.get(values);
  };
  return { settings, volume, lut, tableOf, grid: new Grid({ ...settings.grid, shape: volume.shape }) };
}

export class Panel {
  constructor(settings, { own, over }, luts, differenceLut, number, changed) {
    Object.assign(this, { settings, volume: own, changed, number });
    this.name = settings.name;
    this.grid = new Grid({ ...settings.grid, shape: own.shape });
    this.overlay = over && makeOverlay(settings.overlay, over, luts[settings.overlay.lut]);
    const half = (settings.window[1] - settings.window[0]) / 2;
    this.values = makeScale(luts[settings.lut], settings.window);
    this.differences = makeScale(luts[differenceLut], [-half, half]);
    this.scale = this.values;
    this.subtracted = null; // the panel that this one shows its difference to
    this.views = [];
    this.value = make("output", { class: "ptv-value", "aria-label": `value in ${this.name}` });
    this.pictures = make("div", { class: "ptv-pictures" });
    const title = settings.title || "\u00a0";
    this.ylabel = make("div", { class: "ptv-ylabel" });
    this.xlabel = make("div", { class: "ptv-xlabel" });
    this.element = make(
      "section",
      { class: "ptv-panel", "aria-label": this.name },
      make("header", {}, make("span", { class: "ptv-title", title }, title), this.value),
      settings.note ? make("p", { class: "ptv-note" }, settings.note) : null,
      this.ylabel,
      this.pictures,
      this.xlabel,
      this.#makeScale(),
      over && this.#makeLegend(settings.overlay.names),
    );
    this.setLabels([settings.xlabel, settings.ylabel]);
    this.setWindow(this.values.window);
  }

  /** Captions by plane; labels of the axes across and down, hidden where they are empty. */
  showPlanes(planes, captions) {
    this.views = planes.map((plane) => new View(this, plane, captions[plane]));
    const widest = Math.max(...planes.map((plane) => this.grid.extent(plane)[0]));
    this.pictures.style.setProperty("--ptv-widest", widest);
    this.pictures.replaceChildren(...this.views.map((view) => view.element));
  }

  setLabels([across, down], upwards = false) {
    this.ylabel.classList.toggle("ptv-up", upwards);
    this.xlabel.textContent = across;
    this.ylabel.textContent = down;
    this.xlabel.hidden = !across;
    this.ylabel.hidden = !down;
  }

  draw(state) {
    for (const view of this.views) view.draw(state);
  }

  /** Let go of all that is large: a notebook may keep the element of an output that is long gone. */
  release() {
    for (const view of this.views) view.release();
    if (this.overlay) this.overlay.volume = this.overlay.tableOf = null;
    this.volume = this.overlay = this.tables = this.changed = null; // what it calls knows the volumes, too
  }

  /** Colours of a frame's codes, made once for a window. */
  tableOf({ values }) {
    if (!this.tables.has(values)) this.tables.set(values, colourTable(values, this.values.lut, this.values.window));
    return this.tables.get(values);
  }

  /** The value of a voxel as shown: less that of the reference while differences are. */
  shownAt(position, frame) {
    const value = this.volume.valueAt(frame, this.grid.voxel(position));
    if (!this.subtracted || value === undefined) return value;
    const { volume, grid } = this.subtracted;
    return value - (volume.valueAt(frame, grid.voxel(position)) ?? NaN);
  }

  readout(position, frame) {
    const value = this.shownAt(position, frame);
    const unit = this.settings.unit ? ` ${this.settings.unit}` : "";
    const sign = this.subtracted ? "Δ " : "";
    this.value.textContent = value === undefined ? "–" : sign + formatNumber(value, 4) + unit + this.#overlayText(position, frame);
  }

  #overlayText(position, frame) {
    if (!this.overlay) return "";
    const { volume, grid, settings } = this.overlay;
    const value = volume.valueAt(frame, grid.voxel(position));
    const text = settings.names.length ? settings.names[value - 1] : value === undefined ? "" : formatNumber(value, 4);
    return text ? ` · ${text}` : "";
  }

  setSubtracted(reference) {
    this.subtracted = reference;
    this.scale = reference ? this.differences : this.values;
    this.setWindow(this.scale.window);
  }

  setWindow(window) {
    this.scale.window = window;
    this.tables = new Map();
    [this.low, this.high].forEach((box, i) => {
      box.value = formatNumber(window[i]);
      box.removeAttribute("aria-invalid");
    });
    if (this.settings.colorbar) this.#drawBar();
  }

  /** The window of a growing volume goes with it until somebody sets another. */
  followWindow(window) {
    const { values } = this;
    if (!this.settings.follows || values.window[0] !== values.first[0] || values.window[1] !== values.first[1]) return;
    values.first = values.window = window;
    const half = (window[1] - window[0]) / 2;
    if (!this.subtracted) this.setWindow(window);
    this.differences.first = this.differences.window = [-half, half];
  }

  #makeLegend(names) {
    const colour = (i) => `rgb(${this.overlay.lut.slice(3 * i + 3, 3 * i + 6).join(" ")})`;
    return names.length ? makeLegend(names.map((name, i) => [colour(i), name]), { "aria-label": `regions of ${this.name}` }) : null;
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
      this.setWindow(this.scale.first);
      this.changed(this);
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
    const window = [read(this.low, this.scale.window[0]), read(this.high, this.scale.window[1])];
    if (!window.every(Number.isFinite) || window[0] >= window[1]) {
      changedBox.setAttribute("aria-invalid", "true");
      return;
    }
    this.setWindow(window);
    this.changed(this);
  }

  #drawBar() {
    const context = this.bar.getContext("2d");
    const image = context.createImageData(LEVELS, 1);
    for (let i = 0; i < LEVELS; i++) {
      for (let k = 0; k < 3; k++) image.data[4 * i + k] = this.scale.lut[3 * i + k];
      image.data[4 * i + 3] = 255;
    }
    context.putImageData(image, 0, 0);
    const [low, high] = this.scale.window;
    const place = (tick) => (tick - low) / (high - low);
    const free = niceTicks(this.scale.window, 4).filter((tick) => place(tick) > 0.2 && place(tick) < 0.77); // of the two boxes
    this.ticks.replaceChildren(
      ...free.map((tick) => make("span", { style: `left:${100 * place(tick)}%` }, formatNumber(tick))),
    );
  }
}

