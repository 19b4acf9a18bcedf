// A volume as it was sent: whole-number codes of (frame, z, y, x), value = low + code * step up to the knee,
// from there on in coarse steps.
// The three codes after the finite ones stand for NaN, +infinity and -infinity.

import { PLANES } from "./geometry.mjs";

/** Unpack zlib bytes. */
export async function inflate(bytes) {
  if (typeof DecompressionStream === "undefined") {
    throw new Error("this browser is too old to unpack the volume: it needs Chrome 80, Firefox 113 or Safari 16.4");
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

export class Volume {
  constructor({ shape, bits, low, step, knee, coarse }, bytes) {
    const count = shape.reduce((a, b) => a * b, 1);
    if (bytes.length !== count * (bits / 8)) {
      throw new Error(`the volume is incomplete: expected ${count * (bits / 8)} bytes, got ${bytes.length}`);
    }
    this.frames = shape[0];
    this.shape = shape.slice(1);
    const [, ny, nx] = this.shape;
    this.strides = [ny * nx, nx, 1];
    Object.assign(this, { low, step, knee, coarse });
    this.finiteCodes = 2 ** bits - 3;
    this.codes = bits === 16 ? joinBytePlanes(bytes) : bytes;
  }

  static async unpack(description, bytes) {
    return new Volume(description, await inflate(bytes));
  }

  valueOf(code) {
    if (code <= this.knee) return this.low + code * this.step;
    if (code < this.finiteCodes) return this.low + this.knee * this.step + (code - this.knee) * this.coarse;
    return [NaN, Infinity, -Infinity][code - this.finiteCodes];
  }

  /** The value of a voxel [z, y, x]; undefined outside the volume. */
  valueAt(frame, voxel) {
    if (voxel.some((v, axis) => v < 0 || v >= this.shape[axis])) return undefined;
    return this.valueOf(this.codes[this.#start(frame) + voxel.reduce((sum, v, axis) => sum + v * this.strides[axis], 0)]);
  }

  /** Copy one slice of a plane, as displayed (row 0 on top), into `out`. */
  slice(frame, planeName, index, out) {
    const plane = PLANES[planeName];
    const rows = this.shape[plane.row];
    const columns = this.shape[plane.column];
    const rowStride = this.strides[plane.row];
    const columnStride = this.strides[plane.column];
    const first = this.#start(frame) + index * this.strides[plane.slice];
    for (let row = 0, o = 0; row < rows; row++) {
      let i = first + (plane.upwards ? rows - 1 - row : row) * rowStride;
      for (let column = 0; column < columns; column++, i += columnStride) out[o++] = this.codes[i];
    }
    return out;
  }

  /** Where a frame begins; a volume with a single frame shows it throughout. */
  #start(frame) {
    return (this.frames > 1 ? frame : 0) * this.shape[0] * this.strides[0];
  }
}
