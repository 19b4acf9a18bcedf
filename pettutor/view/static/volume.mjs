// A volume as it was sent: whole-number codes of (frame, z, y, x), value = low + code * step up to the knee,
// from there on in coarse steps.
// The three codes after the finite ones stand for NaN, +infinity and -infinity.

import { PLANES } from "./geometry.mjs";

/** Unpack zlib bytes. */
export async function inflate(bytes) {
  if (typeof DecompressionStream === "undefined") {
    throw new Error("this browser is too old to unpack the volume: it needs Chrome 111, Firefox 115 or Safari 16.4");
  }
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Put the two byte planes (all low bytes, then all high bytes) of 16-bit codes together again. */
export function joinBytePlanes(bytes) {
  const count = bytes.length / 2;
  const codes = new Uint16Array(count);
  for (let i = 0; i < count; i++) codes[i] = bytes[i] | (bytes[count + i] << 8);
  return codes;
}

/** The value of every code. */
export function valuesOfCodes(bits, { low, step, knee, coarse }) {
  const finite = 2 ** bits - 3;
  const values = Float64Array.from({ length: finite }, (_, code) => low + Math.min(code, knee) * step + Math.max(code - knee, 0) * coarse);
  return Float64Array.from([...values, NaN, Infinity, -Infinity]);
}

/** Frames of one volume; each a run of codes and the values that they stand for. */
export class Volume {
  constructor({ shape, bits }) {
    Object.assign(this, { shape, bits, frames: [] });
    const [, ny, nx] = shape;
    this.strides = [ny * nx, nx, 1];
    this.size = shape[0] * ny * nx;
    this.Codes = bits === 16 ? Uint16Array : Uint8Array;
  }

  static async unpack(description, compressed) {
    const volume = new Volume(description);
    for (const part of description.parts) volume.put(volume.frames.length, part, await inflate(compressed[part.bytes]));
    return volume;
  }

  /** Put the frames of a part from a number on; what stood there and after it goes. */
  put(first, part, bytes) {
    if (bytes.length !== part.frames * this.size * (this.bits / 8)) {
      throw new Error(`the volume is incomplete: expected ${part.frames * this.size * (this.bits / 8)} bytes, got ${bytes.length}`);
    }
    const codes = this.bits === 16 ? joinBytePlanes(bytes) : bytes;
    const values = valuesOfCodes(this.bits, part);
    this.frames.length = first;
    for (let f = 0; f < part.frames; f++) this.frames.push({ codes: codes.subarray(f * this.size, (f + 1) * this.size), values });
  }

  /** A frame; a volume with a single one shows it throughout. */
  frame(number) {
    return this.frames[this.frames.length > 1 ? Math.min(number, this.frames.length - 1) : 0];
  }

  /** The value of a voxel [z, y, x]; undefined outside the volume. */
  valueAt(number, voxel) {
    if (voxel.some((v, axis) => v < 0 || v >= this.shape[axis])) return undefined;
    const { codes, values } = this.frame(number);
    return values[codes[voxel.reduce((sum, v, axis) => sum + v * this.strides[axis], 0)]];
  }

  /** Copy one slice of a plane, as displayed (row 0 on top), into `out`. */
  slice(number, planeName, index, out) {
    const plane = PLANES[planeName];
    const rows = this.shape[plane.row];
    const columns = this.shape[plane.column];
    const rowStride = this.strides[plane.row];
    const columnStride = this.strides[plane.column];
    const first = index * this.strides[plane.slice];
    const { codes } = this.frame(number);
    for (let row = 0, o = 0; row < rows; row++) {
      let i = first + (plane.upwards ? rows - 1 - row : row) * rowStride;
      for (let column = 0; column < columns; column++, i += columnStride) out[o++] = codes[i];
    }
    return out;
  }
}
