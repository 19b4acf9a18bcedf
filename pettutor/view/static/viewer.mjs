// The viewer: linked panels that share one position in the world and one frame, and the controls over them.

import { decodeBase64 } from "./colour.mjs";
import { makeControls, makeFooter, press } from "./controls.mjs";
import { make, watchPageScroll } from "./dom.mjs";
import { AXES, clamp, PLANES } from "./geometry.mjs";
import { Panel } from "./panel.mjs";
import { Results } from "./results.mjs";
import { listenToView } from "./tools.mjs";
import { Volume } from "./volume.mjs";

export function showError(element, error) {
  console.warn("pettutor viewer:", error);
  const text = `This viewer could not go on: ${error?.message ?? error}`;
  element.querySelector(":scope > .ptv-error")?.remove();
  element.append(make("div", { class: "ptv-error", role: "alert" }, text));
}

/** The volumes of each panel: its own, and that over it (or null). */
export function unpackVolumes({ panels }, compressed) {
  const unpack = (part) => part && Volume.unpack(part.volume, compressed);
  return Promise.all(panels.map(async (panel) => ({ own: await unpack(panel), over: await unpack(panel.overlay) })));
}

export class Viewer {
  constructor(element, settings, volumes) {
    this.element = element;
    this.settings = settings;
    this.abort = new AbortController();
    // who wants to hear of a finished circle (_rois) or line (_line), of the crosshair on its way (moved) and after a click (chosen)
    this.hooks = {};
    const luts = settings.luts.map(decodeBase64);
    const changed = this.guard((panel) => this.windowChanged(panel));
    this.panels = settings.panels.map((panel, i) => new Panel(panel, volumes[i], luts, settings.differenceLut, i, changed));
    this.grid = this.panels[0].grid; // the sliders step through the voxels of the first panel
    this.flat = this.panels.every(({ volume }) => volume.shape[0] === 1);
    this.axes = settings.axes ?? AXES;
    const { frame, plane, zoom, opacity, difference } = settings;
    this.state = { position: [...settings.position], frame, plane, zoom, opacity, difference: false, crosshair: !this.flat };
    Object.assign(this.state, { focus: this.state.position, rois: settings.rois, line: settings.line, axes: this.axes });
    this.hover = null;
    this.tool = "cursor";
    this.lineStart = null;
    this.shared = settings.sharedWindow;
    this.canSubtract = settings.reference !== null && this.panels.length > 1;
    this.#build();
    this.setPlane(plane);
    this.setDifference(difference);
  }

  get frames() {
    return Math.max(...this.panels.map(({ volume }) => volume.frames.length));
  }

  /** Wrap a handler so that an error in it is read in the cell and not only in the console. */
  guard(handler) {
    return (...parameters) => {
      try {
        return handler(...parameters);
      } catch (error) {
        showError(this.element, error);
      }
    };
  }

  listen(target, type, handler, options = {}) {
    target.addEventListener(type, this.guard(handler), { ...options, signal: this.abort.signal });
  }

  destroy() {
    this.stop();
    cancelAnimationFrame(this.pending);
    this.abort.abort();
    this.root.replaceChildren();
    this.root.remove();
    for (const panel of this.panels) panel.release();
  }

  setPlane(plane) {
    this.state.plane = plane;
    const planes = plane === "all" ? Object.keys(PLANES) : [plane];
    for (const [name, button] of this.planeButtons) press(button, name === plane);
    AXES.forEach((_, axis) => {
      const used = this.grid.shape[axis] > 1 && planes.some((name) => PLANES[name].slice === axis);
      this.sliders[axis].line.hidden = !used;
    });
    this.root.classList.toggle("ptv-all", plane === "all");
    const captions = Object.fromEntries(Object.keys(PLANES).map((name) => [name, this.planeName(name)]));
    for (const panel of this.panels) {
      panel.showPlanes(planes, captions);
      if (this.settings.axes && !panel.settings.xlabel && !panel.settings.ylabel) {
        const { row, column, upwards } = PLANES[plane] ?? {};
        panel.setLabels(plane === "all" ? ["", ""] : [this.axes[column], this.axes[row]], upwards);
      }
      for (const view of panel.views) listenToView(this, panel, view);
    }
    this.refresh();
  }

  /** A sinogram's planes are called after the axis that is stepped through. */
  planeName(name) {
    return this.settings.axes && name !== "all" ? this.axes[PLANES[name].slice] : name;
  }

  setPosition(position) {
    this.state.position = [...position];
    this.hooks.moved?.(this.state.position);
    this.refresh();
  }

  /** Move along an axis by whole voxels of the first panel. */
  step(axis, voxels) {
    const index = this.grid.insideIndex(axis, this.state.position[axis]) + voxels;
    this.setIndex(axis, index);
  }

  setIndex(axis, index) {
    const position = [...this.state.position];
    position[axis] = this.grid.position(axis, clamp(index, 0, this.grid.shape[axis] - 1));
    this.setPosition(position);
  }

  setHover(position) {
    this.hover = position;
    this.#readout();
  }

  setIndices(indices) {
    this.setPosition(indices.map((index, axis) => this.grid.position(axis, index)));
  }

  setFrame(frame) {
    this.state.frame = clamp(frame, 0, this.frames - 1);
    this.refresh();
  }

  /** Frames have come: who looked at the last one sees the new last one, who went back is left there. */
  grown(labels, window) {
    const before = this.settings.labels ?? [];
    const { frame } = this.state;
    const same = frame < before.length - 1 ? labels.indexOf(before[frame]) : -1;
    this.state.frame = same < 0 ? labels.length - 1 : same;
    this.settings = { ...this.settings, labels };
    this.panels.at(-1).followWindow(window);
    this.frameSlider.input.max = String(this.frames - 1);
    this.frameSlider.line.hidden = this.frames < 2;
    this.refresh();
  }

  setRois(rois) {
    this.state.rois = rois;
    this.refresh();
  }

  setLine(line) {
    this.state.line = line;
    this.refresh();
  }

  /** The same, finished: a notebook hears of it. */
  changeRois(rois) {
    this.setRois(rois);
    this.hooks._rois?.(rois);
  }

  changeLine(line, start = null) {
    this.lineStart = start;
    this.setLine(line);
    if (!start) this.hooks._line?.(line);
  }

  setDifference(on) {
    this.state.difference = on && this.canSubtract;
    const reference = this.panels[this.settings.reference];
    for (const panel of this.panels) panel.setSubtracted(this.state.difference && panel !== reference ? reference : null);
    press(this.differenceButton, this.state.difference);
    this.refresh();
  }

  setOpacity(opacity) {
    this.state.opacity = opacity;
    this.opacity.input.value = Math.round(100 * opacity);
    this.opacity.text.textContent = `overlay ${Math.round(100 * opacity)} %`;
    this.refresh();
  }

  setShared(on) {
    this.shared = on;
    press(this.sharedButton, on);
  }

  /** One panel has another window; where they share it, all have. */
  windowChanged(changed) {
    const alike = (panel) => panel !== changed && !panel.subtracted === !changed.subtracted;
    if (this.shared) this.panels.filter(alike).forEach((panel) => panel.setWindow(changed.scale.window));
    this.refresh();
  }

  setTool(tool) {
    this.tool = tool;
    this.root.dataset.tool = tool;
    for (const [name, button] of this.toolButtons) press(button, name === tool);
  }

  toggleCrosshair() {
    this.state.crosshair = !this.state.crosshair;
    this.refresh();
  }

  /** Magnify all pictures about a position, by default the crosshair; 0 is back to the whole. */
  zoomBy(factor, focus = this.state.position) {
    const zoom = clamp(this.state.zoom * factor, 1, 32);
    Object.assign(this.state, { zoom: zoom < 1.01 ? 1 : zoom, focus: [...focus] });
    this.refresh();
  }

  play() {
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const next = this.guard(() => this.setFrame((this.state.frame + 1) % this.frames));
    this.timer = setInterval(next, calm ? 1500 : 300);
    this.#markPlaying(true);
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
    this.#markPlaying(false);
  }

  /** Redraw before the next picture of the screen, however many changes come until then. */
  refresh() {
    this.pending ??= requestAnimationFrame(
      this.guard(() => {
        this.pending = null;
        this.draw();
      }),
    );
  }

  draw() {
    const { position, frame } = this.state;
    for (const panel of this.panels) panel.draw(this.state);
    this.sliders.forEach(({ input, text }, axis) => {
      const index = this.grid.insideIndex(axis, position[axis]);
      input.value = index;
      text.textContent = `${this.axes[axis]} ${index}` + this.#length(` · ${this.grid.position(axis, index).toFixed(1)} mm`);
      input.setAttribute("aria-valuetext", text.textContent);
    });
    if (this.frames > 1) {
      this.frameSlider.input.value = frame;
      this.frameSlider.text.textContent = this.settings.labels?.[frame] ?? `frame ${frame}`;
      this.frameSlider.input.setAttribute("aria-valuetext", this.frameSlider.text.textContent);
    }
    this.results.draw(this.state);
    this.#readout();
  }

  #length(text) {
    return this.settings.lengths === "mm" ? text : "";
  }

  #readout() {
    const position = this.hover ?? this.state.position;
    for (const panel of this.panels) panel.readout(position, this.state.frame);
    const voxel = this.grid.voxel(position);
    const mm = position.map((p) => p.toFixed(1)).join(", ");
    const axes = this.flat ? [1, 2] : [0, 1, 2];
    const indices = axes.map((axis) => `${this.axes[axis]} ${voxel[axis]}`).join("  ");
    this.where.textContent = `${this.hover ? "cursor" : "crosshair"}  ${indices}` + this.#length(`  (${mm}) mm`);
  }

  #build() {
    Object.assign(this, makeControls(this));
    this.results = new Results(this);
    this.where = make("span", { class: "ptv-where" });
    const columns = clamp(this.settings.ncols, 1, this.panels.length);
    this.root = make(
      "div",
      { class: "ptv", role: "group", "aria-label": this.settings.description, style: `--ptv-columns:${columns}` },
      this.controls,
      make("div", { class: "ptv-panels" }, ...this.panels.map((panel) => panel.element)),
      this.results.element,
      ...makeFooter(this, this.where),
    );
    this.root.classList.toggle("ptv-single", this.panels.length === 1);
    this.setTool("cursor");
    this.setShared(this.shared);
    this.setOpacity(this.state.opacity);
    watchPageScroll(this.abort.signal);
    this.element.append(this.root);
  }

  #markPlaying(playing) {
    this.playButton.textContent = playing ? "❚❚" : "▶";
    press(this.playButton, playing);
  }
}
