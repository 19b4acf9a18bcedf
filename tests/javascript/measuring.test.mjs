// Circles, lines, differences and growing volumes, on volumes whose axes all differ.
import assert from "node:assert/strict";
import test from "node:test";

import { colourTable, colourWords } from "../../pettutor/view/static/colour.mjs";
import { Grid } from "../../pettutor/view/static/geometry.mjs";
import { measureCircle, profileAlong, sample } from "../../pettutor/view/static/measuring.mjs";
import { Volume } from "../../pettutor/view/static/volume.mjs";

const SHAPE = [3, 4, 5];
const grid = new Grid({ shape: SHAPE, voxelSize: [2, 1.5, 1], origin: [-2, 10, -20] });
const code = (z, y, x) => 60 * z + 7 * y + x * x;
function volume(change = (c) => c) {
  const codes = new Uint8Array(60);
  for (let z = 0; z < 3; z++) for (let y = 0; y < 4; y++) for (let x = 0; x < 5; x++) codes[20 * z + 5 * y + x] = change(code(z, y, x), z, y, x);
  const made = new Volume({ shape: SHAPE, bits: 8 });
  made.put(0, { frames: 1, low: 1, step: 0.5, knee: 252, coarse: 0 }, codes);
  return made;
}
const value = (z, y, x) => 1 + 0.5 * code(z, y, x);
const near = (a, b) => assert.ok(Math.abs(a - b) < 1e-9, `${a} is not ${b}`);

test("a circle measures the voxels whose centres lie in it", () => {
  // axial, about voxel (2, 1, 3): radius 1.6 takes the voxel, two beside it along x, and those above and below
  const found = measureCircle(volume(), grid, 0, { plane: "axial", centre: [2, 11.5, -17], radius: 1.6 });
  const values = [[1, 2], [1, 3], [1, 4], [0, 3], [2, 3]].map(([y, x]) => value(2, y, x));
  const mean = values.reduce((a, b) => a + b) / 5;
  assert.equal(found.count, 5);
  near(found.mean, mean);
  near(found.sd, Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / 4));
  assert.equal(found.max, Math.max(...values));
});

test("a sagittal circle lies in z and y", () => {
  const found = measureCircle(volume(), grid, 0, { plane: "sagittal", centre: [0, 13, -16], radius: 1.5 });
  const values = [value(1, 1, 4), value(1, 2, 4), value(1, 3, 4)];
  assert.equal(found.count, 3);
  near(found.mean, values.reduce((a, b) => a + b) / 3);
});

test("a circle outside of a volume, or between its voxels, measures nothing", () => {
  const outside = measureCircle(volume(), grid, 0, { plane: "axial", centre: [99, 11.5, -17], radius: 3 });
  assert.deepEqual(outside, { count: 0, mean: NaN, sd: NaN, max: NaN });
  assert.equal(measureCircle(volume(), grid, 0, { plane: "axial", centre: [0, 10.7, -17.5], radius: 0.3 }).count, 0);
});

test("equal values have no spread at all, and one that is not finite is not hidden", () => {
  const circle = { plane: "axial", centre: [0, 11.5, -18], radius: 2 };
  assert.equal(measureCircle(volume(() => 3), grid, 0, circle).sd, 0);
  assert.ok(Number.isNaN(measureCircle(volume((c, z, y, x) => (y === 1 && x === 2 ? 253 : c)), grid, 0, circle).mean));
});

test("between voxel centres values are interpolated, up to the edge of the outer voxels", () => {
  const at = (z, y, x) => sample(volume(), grid, 0, [-2 + 2 * z, 10 + 1.5 * y, -20 + x]);
  near(at(1, 2, 3), value(1, 2, 3));
  near(at(1.25, 2, 3), 0.75 * value(1, 2, 3) + 0.25 * value(2, 2, 3));
  near(at(1, 2.5, 3.5), (value(1, 2, 3) + value(1, 3, 3) + value(1, 2, 4) + value(1, 3, 4)) / 4);
  near(at(-0.4, 0, 0), value(0, 0, 0));
  assert.ok(Number.isNaN(at(-0.6, 0, 0)) && Number.isNaN(at(0, 0, 4.6)));
});

test("a value that is not finite beside a line does not reach it", () => {
  const odd = volume((c, z, y) => (y === 2 ? 253 : c));
  assert.ok(Number.isFinite(sample(odd, grid, 0, [0, 11.5, -18.3])));
  assert.ok(Number.isNaN(sample(odd, grid, 0, [0, 11.6, -18.3])));
});

test("a profile goes in steps of half a voxel at most", () => {
  const found = profileAlong(volume(), grid, 0, [[0, 10, -20], [0, 13, -16]], grid);
  near(found.at(-1).distance, 5);
  assert.equal(found.length, 12);
  near(found.at(-1).value, value(1, 2, 4));
});

test("places in a picture and back", () => {
  for (const plane of ["axial", "coronal", "sagittal"]) {
    const position = [0.3, 11.2, -17.7];
    const place = grid.place(plane, position);
    grid.point(plane, ...place, position).forEach((p, axis) => near(p, position[axis]));
  }
  assert.deepEqual(grid.place("coronal", [-3, 0, -20.5]), [0, 1]); // the lower left corner
});

test("indices of another grid, -1 outside of it", () => {
  const other = new Grid({ shape: [9, 2, 9], voxelSize: [1, 2, 1], origin: [0, 11, 0] });
  assert.deepEqual([...grid.indicesOf(1, other)], [0, 0, 1, -1]);
});

test("the low end of an overlay and what is not finite are transparent", () => {
  const lut = Uint8Array.from({ length: 771 }, (_, i) => i % 251);
  const table = colourTable([0, 0.5, 2, NaN, Infinity], lut, [0.5, 1], true);
  assert.deepEqual([...table], [0, 0, colourWords(lut)[255], 0, 0]);
});

test("a volume grows by frames of other codes, and begins anew", () => {
  const growing = volume();
  const part = { frames: 1, low: 100, step: 2, knee: 252, coarse: 0 };
  growing.put(1, part, new Uint8Array(60).fill(7));
  assert.equal(growing.valueAt(1, [2, 3, 4]), 114);
  assert.equal(growing.valueAt(0, [2, 3, 4]), value(2, 3, 4));
  growing.put(0, part, new Uint8Array(60).fill(9));
  assert.equal(growing.frames.length, 1);
  assert.equal(growing.valueAt(0, [0, 0, 0]), 118);
});
