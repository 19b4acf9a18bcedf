// The viewer: linked panels that share one position in the world and one frame, and the controls over them.

import { decodeBase64 } from "./colour.mjs";
import { isPageScroll, make, watchPageScroll } from "./dom.mjs";
import { AXES, clamp, PLANES } from "./geometry.mjs";
import { Panel } from "./panel.mjs";
import { Volume } from "./volume.mjs";

const HELP =
  "Wheel or ↑ ↓: slice · Page ↑ ↓: ten slices · Home, End: first, last · ← → : frame · " +
  "click or drag: crosshair · Shift + arrows: move it by a voxel · C: show or hide it · " +
  "Ctrl + wheel or + −: zoom, 0: whole picture · numbers under a bar: window, double click on the bar: the first one";

const ZOOM_STEP = 1.25;

export function showError(element, error) {
  console.warn("pettutor viewer:", error);
  const text = `This viewer could not go on: ${error?.message ?? error}`;
  element.querySelector(":scope > .ptv-error")?.remove();
  element.append(make("div", { class: "ptv-error", role: "alert" }, text));
}

export function unpackVolumes(settings, volumes) {
  return Promise.all(settings.panels.map((panel, i) => Volume.unpack(panel.volume, volumes[i])));
}

export class Viewer {
  constructor(element, settings, volumes) {
    this.element = element;
    this.settings = settings;
    this.abort = new AbortController();
    const luts = settings.luts.map(decodeBase64);
    this.panels = settings.panels.map(
      (panel, i) => new Panel(panel, volumes[i], luts[panel.lut], i, this.guard(() => this.refresh())),
    );
    this.grid = this.panels[0].grid; // the sliders step through the voxels of the first panel
    this.frames = Math.max(...volumes.map((volume) => volume.frames));
    this.flat = volumes.every((volume) => volume.shape[0] === 1);
    this.state = { position: [...settings.position], frame: settings.frame, plane: settings.plane, crosshair: !this.flat };
    this.state.zoom = settings.zoom;
    this.state.focus = this.state.position;
    this.hover = null;
    this.#build();
    this.setPlane(settings.plane);
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
    this.root.remove();
  }

  setPlane(plane) {
    this.state.plane = plane;
    const planes = plane === "all" ? Object.keys(PLANES) : [plane];
    for (const [name, button] of this.planeButtons) button.setAttribute("aria-pressed", String(name === plane));
    AXES.forEach((_, axis) => {
      const used = this.grid.shape[axis] > 1 && planes.some((name) => PLANES[name].slice === axis);
      this.sliders[axis].line.hidden = !used;
    });
    this.root.classList.toggle("ptv-all", plane === "all");
    for (const panel of this.panels) {
      panel.showPlanes(planes);
      for (const view of panel.views) this.#listenTo(panel, view);
    }
    this.refresh();
  }

  setPosition(position) {
    this.state.position = [...position];
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

  setFrame(frame) {
    this.state.frame = clamp(frame, 0, this.frames - 1);
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
      text.textContent = `${AXES[axis]} ${index}` + this.#length(` · ${this.grid.position(axis, index).toFixed(1)} mm`);
      input.setAttribute("aria-valuetext", text.textContent);
    });
    if (this.frames > 1) {
      this.frameSlider.input.value = frame;
      this.frameSlider.text.textContent = this.settings.labels?.[frame] ?? `frame ${frame}`;
      this.frameSlider.input.setAttribute("aria-valuetext", this.frameSlider.text.textContent);
    }
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
    const indices = axes.map((axis) => `${AXES[axis]} ${voxel[axis]}`).join("  ");
    this.where.textContent = `${this.hover ? "cursor" : "crosshair"}  ${indices}` + this.#length(`  (${mm}) mm`);
  }

  #build() {
    this.planeButtons = [...Object.keys(PLANES), "all"].map((name) => {
      const button = make("button", { type: "button", "aria-pressed": "false" }, name === "all" ? "all three" : name);
      this.listen(button, "click", () => this.setPlane(name));
      return [name, button];
    });
    this.sliders = AXES.map((name, axis) =>
      this.#slider(`slice along ${name}`, this.grid.shape[axis], (value) => this.setIndex(axis, value)),
    );
    this.frameSlider = this.#slider("frame", this.frames, (value) => this.setFrame(value));
    this.frameSlider.line.hidden = this.frames < 2;
    this.playButton = make("button", { type: "button", class: "ptv-play", "aria-label": "play the frames" });
    this.listen(this.playButton, "click", () => (this.timer ? this.stop() : this.play()));
    this.frameSlider.line.prepend(this.playButton);
    this.#markPlaying(false);

    const help = make("p", { class: "ptv-help", hidden: true }, HELP);
    const helpButton = make("button", { type: "button", class: "ptv-quiet", "aria-label": "keys and mouse", "aria-expanded": "false" }, "?");
    this.listen(helpButton, "click", () => {
      help.hidden = !help.hidden;
      helpButton.setAttribute("aria-expanded", String(!help.hidden));
    });
    const planes = make("div", { class: "ptv-planes", role: "group", "aria-label": "plane" });
    if (!this.flat) planes.append(...this.planeButtons.map(([, button]) => button));
    const sliders = make("div", { class: "ptv-sliders" }, ...this.sliders.map((s) => s.line), this.frameSlider.line);
    this.where = make("span", { class: "ptv-where" });
    const columns = clamp(this.settings.ncols, 1, this.panels.length);
    this.root = make(
      "div",
      { class: "ptv", style: `--ptv-columns:${columns}` },
      make("div", { class: "ptv-controls" }, planes, sliders),
      make("div", { class: "ptv-panels" }, ...this.panels.map((panel) => panel.element)),
      make("footer", {}, this.where, helpButton),
      help,
    );
    this.root.classList.toggle("ptv-single", this.panels.length === 1);
    watchPageScroll(this.abort.signal);
    this.element.append(this.root);
  }

  #slider(label, count, move) {
    const input = make("input", { type: "range", min: "0", max: String(count - 1), step: "1", "aria-label": label });
    const text = make("span", { class: "ptv-text" });
    this.listen(input, "input", () => move(Number(input.value)));
    return { input, text, line: make("div", { class: "ptv-slider" }, input, text) };
  }

  #markPlaying(playing) {
    this.playButton.textContent = playing ? "❚❚" : "▶";
    this.playButton.setAttribute("aria-pressed", String(playing));
  }

  #listenTo(panel, view) {
    const { element, plane } = view;
    const axis = PLANES[plane].slice;
    const pick = (event) => {
      const frame = view.stage.getBoundingClientRect(); // magnified, where it is
      const [fx, fy] = [(event.clientX - frame.left) / frame.width, (event.clientY - frame.top) / frame.height];
      return panel.grid.pick(plane, fx, fy, this.state.position);
    };
    this.listen(element, "pointerdown", (event) => {
      if (event.button !== 0) return;
      element.setPointerCapture(event.pointerId);
      this.setPosition(pick(event));
    });
    this.listen(element, "pointermove", (event) => {
      this.hover = pick(event);
      if (event.buttons & 1 && element.hasPointerCapture(event.pointerId)) this.setPosition(this.hover);
      else this.#readout();
    });
    this.listen(element, "pointerleave", () => {
      this.hover = null;
      this.#readout();
    });
    let travel = 0;
    const onWheel = (event) => {
      if (event.deltaY === 0 || isPageScroll(event)) return;
      if (event.ctrlKey) {
        event.preventDefault();
        this.zoomBy(event.deltaY > 0 ? 1 / ZOOM_STEP : ZOOM_STEP, pick(event));
        return;
      }
      if (this.grid.shape[axis] < 2) return;
      event.preventDefault();
      travel = Math.sign(travel) === Math.sign(event.deltaY) ? travel + event.deltaY : event.deltaY;
      // a notch of a wheel is one slice; the small steps of a touch pad add up
      if (event.deltaMode === 0 && Math.abs(travel) < 40) return;
      travel = 0;
      this.step(axis, event.deltaY > 0 ? -1 : 1);
      if (this.hover) this.hover = pick(event);
    };
    this.listen(element, "wheel", onWheel, { passive: false });
    this.listen(element, "keydown", (event) => this.#key(event, plane));
  }

  #key(event, plane) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { slice, row, column, upwards } = PLANES[plane];
    const down = upwards ? -1 : 1;
    const last = this.grid.shape[slice] - 1;
    const sideways = (by) => (this.frames > 1 ? () => this.setFrame(this.state.frame + by) : () => this.step(slice, by));
    const moves = event.shiftKey && event.key.startsWith("Arrow")
      ? {
          ArrowUp: () => this.step(row, -down),
          ArrowDown: () => this.step(row, down),
          ArrowLeft: () => this.step(column, -1),
          ArrowRight: () => this.step(column, 1),
        }
      : {
          ArrowUp: () => this.step(slice, 1),
          ArrowDown: () => this.step(slice, -1),
          ArrowLeft: sideways(-1),
          ArrowRight: sideways(1),
          PageUp: () => this.step(slice, 10),
          PageDown: () => this.step(slice, -10),
          Home: () => this.setIndex(slice, 0),
          End: () => this.setIndex(slice, last),
          "+": () => this.zoomBy(ZOOM_STEP),
          "-": () => this.zoomBy(1 / ZOOM_STEP),
          0: () => this.zoomBy(0),
          c: () => {
            this.state.crosshair = !this.state.crosshair;
            this.refresh();
          },
        };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    event.stopPropagation();
    this.hover = null;
    move();
  }
}
