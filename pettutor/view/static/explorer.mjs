// A viewer as its settings want it: alone, or beside a sinogram with which lines of response link it.

import { make } from "./dom.mjs";
import { unpackVolumes, Viewer } from "./viewer.mjs";

/** The lines of response of a scanner; see pettutor/view/explorer.py for what it is made from. */
export class Lines {
  constructor({ crystals, live, firstView, planes, reach }) {
    Object.assign(this, { crystals, live, firstView, planes, reach, views: crystals.length / 2 });
  }

  #pair(view, bin) {
    return this.firstView[bin].map((first) => (first + view) % this.crystals.length);
  }

  /** Both ends (z, y, x) of the line of a bin. */
  ends([plane, view, bin]) {
    const [middle, difference] = this.planes[plane];
    return this.#pair(view, bin).map((crystal, end) => [middle + (end - 0.5) * difference, ...this.crystals[crystal]]);
  }

  /** The direct plane nearest to a height. */
  directPlane(z) {
    let best = 0;
    const far = ([middle, difference]) => (difference === 0 ? Math.abs(middle - z) : Infinity);
    this.planes.forEach((plane, k) => far(plane) < far(this.planes[best]) && (best = k));
    return best;
  }

  /** [view, bin] of the lines of a plane that pass a position: in each view the nearest one, where it is near enough. */
  trace([z, y, x], plane) {
    const [middle, difference] = this.planes[plane];
    const found = [];
    for (let view = 0; view < this.views; view++) {
      const passes = this.firstView.map((_, bin) => {
        const [[y0, x0], [y1, x1]] = this.#pair(view, bin).map((crystal) => this.crystals[crystal]);
        const [dy, dx] = [y1 - y0, x1 - x0];
        const square = dy ** 2 + dx ** 2;
        return { from: ((y - y0) * dx - (x - x0) * dy) / Math.sqrt(square), along: ((y - y0) * dy + (x - x0) * dx) / square };
      });
      const bin = passes.reduce((best, { from }, b) => (Math.abs(from) < Math.abs(passes[best].from) ? b : best), 0);
      const { from, along } = passes[bin];
      const spacing = Math.abs((passes[bin + 1] ?? passes[bin - 1]).from - from);
      const height = middle + (along - 0.5) * difference;
      const seen = this.#pair(view, bin).every((crystal) => this.live[crystal]);
      if (seen && Math.abs(from) <= spacing && Math.abs(height - z) <= this.reach) found.push([view, bin]);
    }
    return found;
  }
}

function link(image, sinogram, lines) {
  const showTrace = () => {
    const plane = sinogram.grid.insideIndex(0, sinogram.state.position[0]);
    const places = lines.trace(image.state.position, plane).map((bin) => [plane, ...bin].map((k, axis) => sinogram.grid.position(axis, k)));
    sinogram.state.dots = { plane: "axial", index: plane, places };
    sinogram.refresh();
  };
  const showLine = () => {
    image.state.rays = lines.ends(sinogram.grid.voxel(sinogram.state.position));
    image.refresh();
  };
  image.hooks.moved = (position) => {
    sinogram.state.position[0] = sinogram.grid.position(0, lines.directPlane(position[0]));
    showTrace();
    showLine();
  };
  sinogram.hooks.moved = () => {
    showLine();
    showTrace();
  };
  sinogram.hooks.moved();
}

/** Unpack and show. `unpacked` may hold what was unpacked before. */
export async function openViewer(element, settings, compressed, unpacked = {}) {
  unpacked.main ??= unpackVolumes(settings, compressed);
  const { explorer } = settings;
  if (!explorer) return new Viewer(element, settings, await unpacked.main);
  unpacked.sinogram ??= unpackVolumes(explorer.sinogram, compressed);
  const volumes = [await unpacked.main, await unpacked.sinogram];
  const halves = [make("div"), make("div")];
  const pair = make("div", { class: "ptv-pair" }, ...halves);
  element.append(pair);
  const image = new Viewer(halves[0], settings, volumes[0]);
  const sinogram = new Viewer(halves[1], explorer.sinogram, volumes[1]);
  link(image, sinogram, new Lines(explorer));
  for (const { root } of [image, sinogram]) root.classList.remove("ptv-single"); // half as wide: planes under each other
  image.beside = sinogram;
  image.abort.signal.addEventListener("abort", () => {
    sinogram.destroy();
    pair.remove();
  });
  return image;
}
