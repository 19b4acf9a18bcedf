// Colours: a lookup table of 256 RGB colours and, last, the one for what is not a finite number.

export const LEVELS = 256;

export function decodeBase64(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/** Index into the 256 colours, by matplotlib's rule; an empty window shows everything in the first colour. */
export function levelOf(value, [low, high]) {
  const t = (value - low) / (high - low);
  if (!(t > 0)) return 0;
  return t >= 1 ? LEVELS - 1 : Math.floor(t * LEVELS);
}

/** The 257 colours as 32-bit words, in memory order R, G, B, A. */
export function colourWords(lut) {
  const bytes = new Uint8Array(4 * (LEVELS + 1)).fill(255);
  for (let i = 0; i <= LEVELS; i++) bytes.set(lut.subarray(3 * i, 3 * i + 3), 4 * i);
  return new Uint32Array(bytes.buffer);
}

/** The colour of every code through a window. With `clear`, the low end and what is not finite are transparent. */
export function colourTable(values, lut, window, clear = false) {
  const words = colourWords(lut);
  return Uint32Array.from(values, (value) => {
    if (clear && !(Number.isFinite(value) && value > window[0])) return 0;
    return words[Number.isFinite(value) ? levelOf(value, window) : LEVELS];
  });
}

export function paint(codes, table, pixels) {
  for (let i = 0; i < codes.length; i++) pixels[i] = table[codes[i]];
}

/** Round numbers strictly inside a window, about `count` of them, in steps of 1, 2 or 5 times a power of ten. */
export function niceTicks([low, high], count = 3) {
  const span = high - low;
  if (!(span > 0) || !Number.isFinite(span)) return [];
  const rough = span / (count + 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((m) => m * power >= rough * 0.999) ?? 10);
  const ticks = [];
  for (let k = Math.floor(low / step) + 1; k * step < high - 1e-9 * span; k++) {
    if (k * step > low + 1e-9 * span) ticks.push(Number((k * step).toPrecision(12)));
  }
  return ticks;
}

/** A number in about `digits` significant figures, without needless zeros. */
export function formatNumber(value, digits = 4) {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "-∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e6) return String(value);
  if (size >= 1e6 || size < 1e-3) {
    const [mantissa, exponent] = value.toExponential(Math.max(digits - 2, 0)).split("e");
    return `${Number(mantissa)}e${Number(exponent)}`;
  }
  return String(Number(value.toPrecision(digits)));
}
