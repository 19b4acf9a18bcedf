"""Volumes on their way to the browser: turned into 8- or 16-bit codes, and compressed."""

import math
import zlib
from dataclasses import dataclass

import numpy as np

SPECIAL_CODES = 3  # the codes after the finite ones: NaN, +infinity, -infinity
COARSE_CODES = 24  # of 8-bit codes, for what lies beyond the knee
LEVEL = 6  # of zlib: 1 is three times as quick and a tenth larger


@dataclass(frozen=True)
class CodedVolume:
    """Whole-number codes of a volume, compressed with zlib.

    ``value = low + code * step`` up to the code ``knee``, from there on in steps of ``coarse``: so that a few hot
    voxels do not take the codes away from all others. The codes from ``finite_codes`` on are NaN, +infinity and
    -infinity. ``shape`` is (frame, z, y, x). With 16 bits all low bytes come first, then all high bytes, which
    compresses better.
    """

    shape: tuple
    bits: int
    low: float
    step: float
    knee: int
    coarse: float
    compressed: bytes
    window: tuple  # a good one to begin with

    @property
    def finite_codes(self):
        return 2**self.bits - SPECIAL_CODES

    def describe(self):
        """What the browser has to know besides the bytes and the shape."""
        return {"frames": self.shape[0], **{name: getattr(self, name) for name in ("low", "step", "knee", "coarse")}}

    def codes(self):
        """The codes again, (frame, z, y, x)."""
        raw = np.frombuffer(zlib.decompress(self.compressed), np.uint8)
        if self.bits == 16:
            low, high = raw.reshape(2, -1)
            raw = low | high.astype(np.uint16) << 8
        return raw.reshape(self.shape)

    def values(self, codes):
        """Values that codes stand for, float64: within half a step (a coarse one beyond the knee) of what was given."""
        code = np.arange(self.finite_codes + SPECIAL_CODES)
        table = self.low + self.step * np.minimum(code, self.knee) + self.coarse * np.maximum(code - self.knee, 0)
        table[self.finite_codes :] = np.nan, np.inf, -np.inf
        return table[codes]


def encode(array, name, bits=8, vmax=None, level=LEVEL):
    """Turn a (frame, z, y, x) array into a :class:`CodedVolume`.

    The codes span the whole range of the finite values; whole numbers are kept exactly where the range allows. With
    8 bits, 229 codes go up to ``vmax`` (by default the upper end of the first window) where that lies in the lower half
    of the range, and 24 to what is over it.

    Raises
    ------
    ValueError
        Bits other than 8 or 16, or a range beyond float64.
    """
    if bits not in (8, 16):
        raise ValueError(f"bits: expected 8 or 16, got {bits!r}")
    low, high = _range(array)
    if not math.isfinite(high - low):
        raise ValueError(f"{name}: expected a range of values within float64, got {low:.6g} to {high:.6g}")
    top = 2**bits - SPECIAL_CODES - 1
    whole = array.dtype.kind in "biu" and high - low <= top
    # what is not whole is first coded with 16 bits, whose histogram tells where the values are
    first_top = top if whole else 2**16 - SPECIAL_CODES - 1
    step = (high - low) / first_top
    if whole or step == 0:
        step = 1.0 if high > low else 0.0
    codes = np.empty(array.shape, np.uint8 if first_top < 256 else np.uint16)
    counts = np.zeros(first_top + 1 + SPECIAL_CODES, np.int64)
    for frame, out in zip(array, codes, strict=True):
        _encode_frame(frame, low, step, first_top, out)
        counts += np.bincount(out.reshape(-1), minlength=counts.size)
    window = _first_window(counts[: first_top + 1], low, step)
    knee, coarse = top, 0.0
    if first_top > top:
        fine_up_to = min(max(window[1] if vmax is None else vmax, low), high)
        translation, step, knee, coarse = _to_8_bits(low, high, fine_up_to)
        codes = translation[codes]
    if bits == 16:
        codes = np.stack([codes & 0xFF, codes >> 8]).astype(np.uint8)
    return CodedVolume(array.shape, bits, low, step, knee, coarse, zlib.compress(codes, level), window)


def _to_8_bits(low, high, fine_up_to):
    """A table from 16-bit codes to 8-bit ones, and their step, knee and coarse step."""
    top, first_top = 2**8 - SPECIAL_CODES - 1, 2**16 - SPECIAL_CODES - 1
    part = (fine_up_to - low) / (high - low) if high > low else 1.0
    knee = top - COARSE_CODES if 0 < part < 0.5 else top
    part = part if knee < top else 1.0
    place = np.arange(first_top + 1) / first_top
    fine = place * (knee / part)
    over = knee + (place - part) * ((top - knee) / (1 - part)) if knee < top else fine
    table = np.rint(np.where(place <= part, fine, over)).clip(0, top)
    table = np.concatenate([table, top + 1 + np.arange(SPECIAL_CODES)]).astype(np.uint8)
    coarse = (high - low) * (1 - part) / (top - knee) if knee < top else 0.0
    return table, (high - low) * part / knee, knee, coarse


def _range(array):
    """Least and greatest finite value, as float."""
    low, high = float(array.min()), float(array.max())
    if math.isfinite(low) and math.isfinite(high):
        return low, high
    limits = []
    for frame in array:
        finite = frame[np.isfinite(frame)]
        if finite.size:
            limits += [float(finite.min()), float(finite.max())]
    return (min(limits), max(limits)) if limits else (0.0, 0.0)


def _encode_frame(frame, low, step, top, out):
    # float32 is enough for float32: what is lost is far less than a 16-bit step, unless the step itself is too small
    single = frame.dtype in (np.float16, np.float32) and (step == 0 or step > np.finfo(np.float32).tiny)
    work = frame.astype(np.float32 if single else np.float64)
    finite = None
    if frame.dtype.kind == "f":
        finite = np.isfinite(work)
        if finite.all():
            finite = None
        else:
            work[~finite] = low
    work -= low
    if step:
        work /= step
    np.rint(work, out=work)
    np.clip(work, 0, top, out=work)
    out[...] = work
    if finite is not None:
        out[np.isnan(frame)] = top + 1
        out[np.isposinf(frame)] = top + 2
        out[np.isneginf(frame)] = top + 3


FEW_VALUES = 32


def _first_window(counts, low, step):
    """The whole range, from 0 where that is near; but where fewer than 1 voxel in 2000 lie in its upper half, up to the
    highest of the others.
    """
    if step == 0:
        return (min(low, 0.0), max(low, 0.0)) if low else (0.0, 1.0)
    filled = np.flatnonzero(counts)
    above = counts[::-1].cumsum()[::-1]  # voxels at a code or over it
    rare = np.flatnonzero(above * 2000 < counts.sum())  # from the first of these on
    usual = filled[filled < rare[0]] if rare.size else filled
    few = filled.size <= FEW_VALUES  # a mask or labels: every value is meant
    last = int(usual[-1]) if usual.size and not few and 0 < usual[-1] < filled[-1] / 2 else int(filled[-1])
    high = low + step * last
    return (0.0 if 0 < low < 0.05 * high else low), high
