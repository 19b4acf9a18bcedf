// Planes, and the way between voxels, positions in the world and points of a picture. Axes are 0: z, 1: y, 2: x.

export const AXES = ["z", "y", "x"];

// `slice` is the axis across the picture, `row` and `column` those along it. z is shown upwards, y down the rows.
export const PLANES = {
  axial: { slice: 0, row: 1, column: 2, upwards: false },
  coronal: { slice: 1, row: 0, column: 2, upwards: true },
  sagittal: { slice: 2, row: 0, column: 1, upwards: true },
};

/** Where the handle of a circle is: on its rim, towards the last column. */
export const handleOf = ({ plane, centre, radius }) => centre.with(PLANES[plane].column, centre[PLANES[plane].column] + radius);

export const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

export class Grid {
  constructor({ shape, voxelSize, origin }) {
    Object.assign(this, { shape, voxelSize, origin });
  }

  /** Nearest index along an axis; may lie outside the grid. */
  index(axis, position) {
    return Math.round((position - this.origin[axis]) / this.voxelSize[axis]);
  }

  insideIndex(axis, position) {
    return clamp(this.index(axis, position), 0, this.shape[axis] - 1);
  }

  position(axis, index) {
    return this.origin[axis] + index * this.voxelSize[axis];
  }

  voxel(position) {
    return position.map((p, axis) => this.index(axis, p));
  }

  /** Width and height of a plane's picture in world units. */
  extent(planeName) {
    const { row, column } = PLANES[planeName];
    return [this.shape[column] * this.voxelSize[column], this.shape[row] * this.voxelSize[row]];
  }

  /** Row and column of the picture that show a voxel. */
  pixel(planeName, voxel) {
    const { row, column, upwards } = PLANES[planeName];
    return [upwards ? this.shape[row] - 1 - voxel[row] : voxel[row], voxel[column]];
  }

  /** Where a position lies in a picture: fractions from the left and the top. */
  place(planeName, position) {
    const { row, column, upwards } = PLANES[planeName];
    const [x, y] = [column, row].map(
      (axis) => ((position[axis] - this.origin[axis]) / this.voxelSize[axis] + 0.5) / this.shape[axis],
    );
    return [x, upwards ? 1 - y : y];
  }

  /** The very position of such a place, in the slice of `position`; may lie outside the grid. */
  point(planeName, fractionX, fractionY, position) {
    const { row, column, upwards } = PLANES[planeName];
    const found = [...position];
    found[row] = this.position(row, (upwards ? 1 - fractionY : fractionY) * this.shape[row] - 0.5);
    found[column] = this.position(column, fractionX * this.shape[column] - 0.5);
    return found;
  }

  /** For every index along an axis, that of the nearest voxel of another grid; -1 where it has none. */
  indicesOf(axis, other) {
    return Int32Array.from({ length: this.shape[axis] }, (_, i) => {
      const index = other.index(axis, this.position(axis, i));
      return index >= 0 && index < other.shape[axis] ? index : -1;
    });
  }

  /** Position of the voxel under a point of the picture (fractions 0..1 from the left and the top), in the slice of `position`. */
  pick(planeName, fractionX, fractionY, position) {
    const { row, column, upwards } = PLANES[planeName];
    const r = clamp(Math.floor(fractionY * this.shape[row]), 0, this.shape[row] - 1);
    const c = clamp(Math.floor(fractionX * this.shape[column]), 0, this.shape[column] - 1);
    const picked = [...position];
    picked[row] = this.position(row, upwards ? this.shape[row] - 1 - r : r);
    picked[column] = this.position(column, c);
    return picked;
  }
}
