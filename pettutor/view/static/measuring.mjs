// What circles and lines measure, with the same rules as pettutor/view/regions.py.

import { PLANES } from "./geometry.mjs";

/** Count, mean, standard deviation (n - 1) and greatest value of a circle {plane, centre, radius} in one frame. */
export function measureCircle(volume, grid, number, { plane, centre, radius }) {
  const { slice, row, column } = PLANES[plane];
  const found = [];
  const voxel = grid.voxel(centre);
  if (voxel[slice] >= 0 && voxel[slice] < grid.shape[slice]) {
    for (voxel[row] = 0; voxel[row] < grid.shape[row]; voxel[row]++) {
      const down = grid.position(row, voxel[row]) - centre[row];
      if (Math.abs(down) > radius) continue;
      for (voxel[column] = 0; voxel[column] < grid.shape[column]; voxel[column]++) {
        const across = grid.position(column, voxel[column]) - centre[column];
        if (down ** 2 + across ** 2 <= radius ** 2) found.push(volume.valueAt(number, voxel));
      }
    }
  }
  const count = found.length;
  // from the first value on, so that equal values have exactly their own mean
  const mean = count ? found[0] + found.reduce((sum, v) => sum + (v - found[0]), 0) / count : NaN;
  const spread = found.reduce((sum, v) => sum + (v - mean) ** 2, 0);
  return { count, mean, sd: count > 1 ? Math.sqrt(spread / (count - 1)) : NaN, max: count ? found.reduce((a, b) => Math.max(a, b)) : NaN };
}

/** Interpolate linearly between voxel centres; NaN outside the volume. */
export function sample(volume, grid, number, position) {
  const index = position.map((p, axis) => (p - grid.origin[axis]) / grid.voxelSize[axis]);
  if (index.some((v, axis) => v < -0.5 || v > grid.shape[axis] - 0.5)) return NaN;
  const below = index.map((v, axis) => Math.min(Math.max(Math.floor(v), 0), Math.max(grid.shape[axis] - 2, 0)));
  const part = index.map((v, axis) => Math.min(Math.max(v, 0), grid.shape[axis] - 1) - below[axis]);
  let value = 0;
  for (let corner = 0; corner < 8; corner++) {
    const step = [corner >> 2, (corner >> 1) & 1, corner & 1];
    const weight = step.reduce((product, s, axis) => product * (s ? part[axis] : 1 - part[axis]), 1);
    // a NaN next to the line is not on it
    if (weight > 0) value += weight * volume.valueAt(number, below.map((b, axis) => Math.min(b + step[axis], grid.shape[axis] - 1)));
  }
  return value;
}

/** Values along a line [start, end], in steps of half a voxel of `first`, the grid that all panels share the steps of. */
export function profileAlong(volume, grid, number, [start, end], first) {
  const length = Math.hypot(...start.map((s, axis) => end[axis] - s));
  const count = Math.floor((2 * length) / Math.min(first.voxelSize[1], first.voxelSize[2])) + 2;
  return Array.from({ length: count }, (_, i) => {
    const part = i / (count - 1);
    return { distance: part * length, value: sample(volume, grid, number, start.map((s, axis) => s + part * (end[axis] - s))) };
  });
}
