// Slicing, places and colours of the viewer's front end, on volumes whose axes all differ.
import assert from "node:assert/strict";
import test from "node:test";
import { deflateSync } from "node:zlib";

import { colourTable, decodeBase64, formatNumber, levelOf, niceTicks, paint } from "../../pettutor/view/static/colour.mjs";
import { Grid } from "../../pettutor/view/static/geometry.mjs";
import { inflate, joinBytePlanes, Volume } from "../../pettutor/view/static/volume.mjs";

// voxel (f, z, y, x) of a (2, 3, 4, 5) volume holds 100 f + 30 z + 7 y + x: no two neighbours alike along any axis
const SHAPE = [2, 3, 4, 5];
const code = (f, z, y, x) => 100 * f + 30 * z + 7 * y + x;
function bytes() {
  const out = [];
  for (let f = 0; f < 2; f++)
    for (let z = 0; z < 3; z++) for (let y = 0; y < 4; y++) for (let x = 0; x < 5; x++) out.push(code(f, z, y, x));
  return Uint8Array.from(out);
}
function filled({ shape: [frames, ...shape], bits, ...coding }, codes) {
  const made = new Volume({ shape, bits });
  made.put(0, { frames, ...coding }, codes);
  return made;
}
const volume = () => filled({ shape: SHAPE, bits: 8, low: -1, step: 0.5, knee: 252, coarse: 0 }, bytes());
const ramp = Uint8Array.from({ length: 257 * 3 }, (_, i) => (i < 768 ? [i / 3, 255 - (i - 1) / 3, 7][i % 3] : [1, 2, 3][i % 3]));

test("an axial slice has y down the rows and x along them", () => {
  const slice = volume().slice(1, "axial", 2, new Uint8Array(20));
  for (let y = 0; y < 4; y++) for (let x = 0; x < 5; x++) assert.equal(slice[5 * y + x], code(1, 2, y, x));
});

test("a coronal slice has the last z on top", () => {
  const slice = volume().slice(0, "coronal", 3, new Uint8Array(15));
  for (let z = 0; z < 3; z++) for (let x = 0; x < 5; x++) assert.equal(slice[5 * (2 - z) + x], code(0, z, 3, x));
});

test("a sagittal slice has y from left to right and the last z on top", () => {
  const slice = volume().slice(1, "sagittal", 4, new Uint8Array(12));
  for (let z = 0; z < 3; z++) for (let y = 0; y < 4; y++) assert.equal(slice[4 * (2 - z) + y], code(1, z, y, 4));
});

test("the value of a voxel, and none outside", () => {
  assert.equal(volume().valueAt(1, [2, 3, 4]), -1 + 0.5 * code(1, 2, 3, 4));
  assert.equal(volume().valueAt(0, [3, 0, 0]), undefined);
  assert.equal(volume().valueAt(0, [0, 0, -1]), undefined);
});

test("a volume of one frame shows it in every frame", () => {
  const still = filled({ shape: [1, 3, 4, 5], bits: 8, low: 0, step: 1, knee: 252, coarse: 0 }, bytes().slice(0, 60));
  assert.equal(still.valueAt(6, [1, 2, 3]), code(0, 1, 2, 3));
});

test("the last three codes are NaN and the infinities", () => {
  const { values } = volume().frame(0);
  assert.ok(Number.isNaN(values[253]));
  assert.equal(values[254], Infinity);
  assert.equal(values[255], -Infinity);
  assert.equal(values[252], -1 + 0.5 * 252);
  assert.equal(values.length, 256);
});

test("beyond the knee the steps are coarse", () => {
  const hot = filled({ shape: [1, 1, 1, 3], bits: 8, low: 2, step: 0.5, knee: 228, coarse: 10 }, Uint8Array.from([228, 229, 252]));
  assert.deepEqual([0, 1, 2].map((x) => hot.valueAt(0, [0, 0, x])), [116, 126, 356]);
});

test("a volume cut short is refused", () => {
  assert.throws(() => filled({ shape: SHAPE, bits: 8, low: 0, step: 1, knee: 252, coarse: 0 }, bytes().slice(1)), /expected 120 bytes, got 119/);
});

test("zlib bytes are unpacked, 16-bit codes joined from their byte planes", async () => {
  assert.deepEqual(await inflate(deflateSync(bytes())), bytes());
  assert.deepEqual(joinBytePlanes(Uint8Array.from([1, 0, 255, 2, 128, 255])), Uint16Array.from([513, 32768, 65535]));
  const packed = deflateSync(Uint8Array.from([1, 0, 255, 2, 128, 255]));
  const part = { frames: 1, low: 10, step: 0.1, knee: 65532, coarse: 0, bytes: 1 };
  const unpacked = await Volume.unpack({ shape: [1, 1, 3], bits: 16, parts: [part] }, [null, packed]);
  assert.equal(unpacked.valueAt(0, [0, 0, 0]), 10 + 0.1 * 513);
  assert.equal(unpacked.valueAt(0, [0, 0, 2]), -Infinity);
});

test("colours follow matplotlib's rule: 256 equal parts of the window, its ends clipped", () => {
  assert.equal(levelOf(0, [0, 256]), 0);
  assert.equal(levelOf(0.999, [0, 256]), 0);
  assert.equal(levelOf(1, [0, 256]), 1);
  assert.equal(levelOf(255.5, [0, 256]), 255);
  assert.equal(levelOf(256, [0, 256]), 255);
  assert.equal(levelOf(1e9, [0, 256]), 255);
  assert.equal(levelOf(-5, [0, 256]), 0);
  assert.equal(levelOf(5, [5, 5]), 0);
});

test("codes are painted through window and table, what is not finite in its own colour", () => {
  const table = colourTable(volume().frame(0).values, ramp, [-1, -1 + 0.5 * 128]);
  const pixels = new Uint32Array(4);
  paint(Uint8Array.from([0, 32, 200, 253]), table, pixels);
  const rgba = new Uint8Array(pixels.buffer);
  assert.deepEqual([...rgba.slice(0, 4)], [0, 255, 7, 255]);
  assert.deepEqual([...rgba.slice(4, 8)], [64, 191, 7, 255]);
  assert.deepEqual([...rgba.slice(8, 12)], [255, 0, 7, 255]);
  assert.deepEqual([...rgba.slice(12)], [1, 2, 3, 255]);
});

test("positions and voxels", () => {
  const grid = new Grid({ shape: [3, 4, 5], voxelSize: [2, 1.5, 1], origin: [-2, 10, -20] });
  assert.deepEqual(grid.voxel([2, 13, -17]), [2, 2, 3]);
  assert.equal(grid.position(1, 2), 13);
  assert.deepEqual(grid.extent("axial"), [5, 6]);
  assert.deepEqual(grid.extent("sagittal"), [6, 6]);
  assert.equal(grid.index(0, 99), 51);
  assert.equal(grid.insideIndex(0, 99), 2);
});

test("a point of a picture is the voxel that is drawn there, in every plane", () => {
  const grid = new Grid({ shape: [3, 4, 5], voxelSize: [2, 1.5, 1], origin: [0, 0, 0] });
  const here = [2, 3, 4];
  assert.deepEqual(grid.voxel(grid.pick("axial", 0.01, 0.01, here)), [1, 0, 0]);
  assert.deepEqual(grid.voxel(grid.pick("axial", 0.99, 0.51, here)), [1, 2, 4]);
  assert.deepEqual(grid.voxel(grid.pick("coronal", 0.5, 0.01, here)), [2, 2, 2]); // the top row is the last z
  assert.deepEqual(grid.voxel(grid.pick("sagittal", 0.3, 0.99, here)), [0, 1, 4]);
  assert.deepEqual(grid.voxel(grid.pick("sagittal", -5, 7, here)), [0, 0, 4]); // dragged past the edge
  for (const plane of ["axial", "coronal", "sagittal"]) {
    const [row, column] = grid.pixel(plane, [2, 1, 3]);
    const [width, height] = { axial: [5, 4], coronal: [5, 3], sagittal: [4, 3] }[plane];
    const position = grid.pick(plane, (column + 0.5) / width, (row + 0.5) / height, [4, 1.5, 3]);
    assert.deepEqual(grid.voxel(position), [2, 1, 3]);
  }
});

test("round numbers inside a window", () => {
  assert.deepEqual(niceTicks([0, 1]), [0.5]);
  assert.deepEqual(niceTicks([0, 6]), [2, 4]);
  assert.deepEqual(niceTicks([-3, 3]), [-2, 0, 2]);
  assert.deepEqual(niceTicks([1, 1]), []);
  for (const window of [[1e-9, 3e-9], [-1e12, 5], [0.1, 0.7]]) {
    const ticks = niceTicks(window);
    assert.ok(ticks.length >= 1 && ticks.length <= 5, `${window}: ${ticks}`);
    assert.ok(ticks.every((t) => t > window[0] && t < window[1]));
  }
});

test("numbers are short and can be read back", () => {
  const cases = [[0, "0"], [42, "42"], [3.14159265, "3.142"], [-0.25, "-0.25"], [1.5e-7, "1.5e-7"], [2.5e9, "2.5e9"], [1e6 + 0.5, "1e6"]];
  for (const [number, text] of cases) {
    assert.equal(formatNumber(number), text);
    if (number < 1e6) assert.ok(Math.abs(Number(text) - number) <= 1e-3 * Math.abs(number));
  }
  assert.equal(formatNumber(NaN), "NaN");
  assert.equal(formatNumber(-Infinity), "-∞");
});

test("base64", () => assert.deepEqual(decodeBase64("AP8BgA=="), Uint8Array.from([0, 255, 1, 128])));
