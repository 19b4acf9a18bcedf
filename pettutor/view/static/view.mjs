// One plane of one panel: canvases of a pixel a voxel, stretched by the page to their size in mm, and lines over them.

import { levelOf, LEVELS, paint } from "./colour.mjs";
import { make, makeSvg } from "./dom.mjs";
import { AXES, clamp, handleOf, PLANES } from "./geometry.mjs";

/** A canvas for the slices of a volume. */
class Layer {
  constructor(source, plane) {
    Object.assign(this, { source, plane });
    const { row, column } = PLANES[plane];
    const [rows, columns] = [source.grid.shape[row], source.grid.shape[column]];
    this.codes = new source.volume.Codes(rows * columns);
    this.canvas = make("canvas", { width: columns, height: rows, "aria-hidden": "true" });
    this.context = this.canvas.getContext("2d");
    this.image = this.context.createImageData(columns, rows);
    this.pixels = new Uint32Array(this.image.data.buffer);
  }

  /** Index of the slice at a position, or -1. */
  sliceAt(position) {
    const axis = PLANES[this.plane].slice;
    const index = this.source.grid.index(axis, position[axis]);
    return index >= 0 && index < this.source.grid.shape[axis] ? index : -1;
  }

  draw(frame, index, reference) {
    const { volume } = this.source;
    volume.slice(frame, this.plane, index, this.codes);
    if (reference) this.#subtract(frame, index, reference);
    else paint(this.codes, this.source.tableOf(volume.frame(frame)), this.pixels);
    this.context.putImageData(this.image, 0, 0);
  }

  /** Colours of the difference to another panel at the nearest voxels. */
  #subtract(frame, index, reference) {
    const { source, pixels, codes } = this;
    const { slice, row, column, upwards } = PLANES[this.plane];
    const mine = source.volume.frame(frame).values;
    const other = reference.volume.frame(frame);
    const [along, rows, columns] = [slice, row, column].map((axis) => source.grid.indicesOf(axis, reference.grid));
    const strides = reference.volume.strides;
    const { words, window } = source.scale;
    for (let r = 0, i = 0; r < rows.length; r++) {
      const down = rows[upwards ? rows.length - 1 - r : r];
      const start = along[index] < 0 || down < 0 ? -1 : along[index] * strides[slice] + down * strides[row];
      for (let c = 0; c < columns.length; c++, i++) {
        const inside = start >= 0 && columns[c] >= 0;
        const value = inside ? mine[codes[i]] - other.values[other.codes[start + columns[c] * strides[column]]] : NaN;
        pixels[i] = words[Number.isFinite(value) ? levelOf(value, window) : LEVELS];
      }
    }
  }
}

export class View {
  constructor(panel, plane, caption) {
    this.panel = panel;
    this.plane = plane;
    const { grid } = panel;
    const { row, column, slice } = PLANES[plane];
    this.base = new Layer(panel, plane);
    this.over = panel.overlay && this.#placed(new Layer(panel.overlay, plane));
    const [width, height] = grid.extent(plane);
    this.lines = Array.from({ length: 4 }, () => makeSvg("line", { "vector-effect": "non-scaling-stroke" }));
    this.cross = makeSvg("g", {}, ...this.lines);
    this.marks = makeSvg("g", { class: "ptv-marks" });
    this.overlay = makeSvg(
      "svg",
      { viewBox: `0 0 ${grid.shape[column]} ${grid.shape[row]}`, preserveAspectRatio: "none", "aria-hidden": "true" },
      this.cross,
      this.marks,
    );
    this.stage = make("div", { class: "ptv-stage" }, this.base.canvas, this.over?.canvas, this.overlay);
    this.element = make(
      "div",
      {
        class: "ptv-view",
        "data-plane": plane,
        tabindex: "0",
        role: "slider",
        "aria-orientation": "vertical",
        "aria-label": `${panel.name}, ${caption} slice`,
        "aria-valuemin": "0",
        "aria-valuemax": String(grid.shape[slice] - 1),
        style: `--ptv-width:${width};--ptv-height:${height};aspect-ratio:${width}/${height}`,
      },
      this.stage,
      make("span", { class: "ptv-caption", "aria-hidden": "true" }, caption),
    );
  }

  release() {
    for (const layer of [this.base, this.over]) {
      if (layer) layer.source = layer.codes = layer.image = layer.pixels = null;
    }
  }

  /** An overlay's canvas, put where its grid lies in the panel's. */
  #placed(layer) {
    const { grid } = layer.source;
    const { upwards } = PLANES[this.plane];
    const corner = (index) => grid.origin.map((o, axis) => o + (index(axis) - 0.5) * grid.voxelSize[axis]);
    const ends = [corner(() => 0), corner((axis) => grid.shape[axis])];
    const [first, last] = ends.map((end) => this.panel.grid.place(this.plane, end));
    const top = upwards ? last[1] : first[1];
    const percent = (part) => `${100 * part}%`;
    Object.assign(layer.canvas.style, {
      left: percent(first[0]),
      top: percent(top),
      width: percent(last[0] - first[0]),
      height: percent(Math.abs(last[1] - first[1])),
    });
    layer.canvas.className = "ptv-over";
    return layer;
  }

  draw(state) {
    const { position, frame, crosshair, zoom, focus, opacity } = state;
    const { grid } = this.panel;
    const axis = PLANES[this.plane].slice;
    const voxel = grid.voxel(position);
    const index = this.base.sliceAt(position);
    this.element.classList.toggle("ptv-outside", index < 0);
    if (index >= 0) this.base.draw(frame, index, this.panel.subtracted);
    if (this.over) {
      const over = this.over.sliceAt(position);
      this.over.canvas.style.opacity = over < 0 ? 0 : opacity;
      if (over >= 0) this.over.draw(frame, over, null);
    }
    this.element.setAttribute("aria-valuenow", String(voxel[axis]));
    this.element.setAttribute("aria-valuetext", index < 0 ? "outside this volume" : `${(state.axes ?? AXES)[axis]} ${voxel[axis]}`);
    this.cross.style.display = crosshair ? "" : "none";
    this.overlay.style.setProperty("--ptv-zoom", zoom);
    if (crosshair) this.#cross(grid.pixel(this.plane, voxel), zoom);
    this.#drawMarks(state, index);
    this.stage.style.transform = zoom > 1 ? this.#magnify(zoom, grid.pixel(this.plane, grid.voxel(focus))) : "";
  }

  /** Circles of this slice, the line that lies in it, and lines that come from elsewhere. */
  #drawMarks({ rois, line, rays, dots, zoom }, index) {
    const { grid } = this.panel;
    const { slice, row, column } = PLANES[this.plane];
    const here = (position) => index >= 0 && grid.index(slice, position[slice]) === index;
    const pixel = (position) => {
      const [x, y] = grid.place(this.plane, position);
      return [x * grid.shape[column], y * grid.shape[row]];
    };
    const stroke = { "vector-effect": "non-scaling-stroke" };
    const drawn = [];
    const dot = (places, name) => {
      const d = places.map((place) => `M${pixel(place).join(" ")}h0`).join("");
      drawn.push(makeSvg("path", { d, ...stroke, class: name }));
    };
    rois.forEach((roi, number) => {
      if (roi.plane !== this.plane || !here(roi.centre)) return;
      const [cx, cy] = pixel(roi.centre);
      const radii = { rx: roi.radius / grid.voxelSize[column], ry: roi.radius / grid.voxelSize[row] };
      drawn.push(makeSvg("ellipse", { cx, cy, ...radii, ...stroke, "data-roi": number + 1 }));
      drawn.push(makeSvg("text", { x: cx + 0.8 * radii.rx, y: cy - 0.8 * radii.ry, "font-size": grid.shape[row] / 20 / zoom }, number + 1));
      dot([handleOf(roi)], "ptv-handle");
    });
    const between = ([start, end], name) => {
      const [[x1, y1], [x2, y2]] = [pixel(start), pixel(end)];
      drawn.push(makeSvg("line", { x1, y1, x2, y2, ...stroke, class: name }));
    };
    if (line.length && line.every(here)) between(line, "ptv-profile-line");
    if (rays) between(rays, "ptv-ray");
    if (dots && dots.plane === this.plane && dots.index === index) dot(dots.places, "ptv-dots");
    this.marks.replaceChildren(...drawn);
  }

  /** Magnified about a pixel, but never past the edge of the picture. */
  #magnify(zoom, [row, column]) {
    const shift = (pixel, count) => 100 * clamp(0.5 - (zoom * (pixel + 0.5)) / count, 1 - zoom, 0);
    const { width, height } = this.base.canvas;
    return `translate(${shift(column, width)}%, ${shift(row, height)}%) scale(${zoom})`;
  }

  /** Four strokes that leave the voxel itself free. */
  #cross([row, column], zoom) {
    const { width, height } = this.base.canvas;
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
