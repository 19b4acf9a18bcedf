"""The inner loops of list mode where a plane has two rows of two voxels: one load a row, sums in vector registers.

An event's numbers for the planes lie piece by piece, as the vector code of event_rows.py writes them: the first voxel
of either row, and four weights. A plane wants its own four together, so those of four planes are exchanged, rows
against columns, in registers. Written as a loop in numba every voxel is a step of its own and takes four times as long.
"""

import os

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from pettutor.projector.vectors import (
    FEW,
    FEW_FLOATS,
    ask_for,
    data_of,
    few_weights,
    multiply_add,
    run_at,
    splat,
    sum_of_few,
)

PLANES = 128  # walk planes at a time; the pieces of an event's numbers lie so far apart
AHEAD = 16  # planes between asking for their voxels and using them
ONE, OTHER = 0, PLANES  # of whole numbers: the first voxel of either row; FEW voxels in both

_WHOLE, _INDEX = ir.IntType(32), ir.IntType(64)
_ROW = ir.VectorType(ir.FloatType(), 2)


def _mixed(builder, a, b, *lanes):
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_WHOLE, len(lanes)), list(lanes)))


def _at(builder, first, more):
    return builder.add(first, ir.Constant(_INDEX, more))


def _of_four_planes(builder, weights, first):
    """The weights of the planes first, first + 1 … + 3, a vector a plane."""
    a, b, c, d = (
        builder.load(run_at(builder, weights, _at(builder, first, piece * PLANES), FEW_FLOATS), align=4)
        for piece in range(FEW)
    )
    one = [_mixed(builder, a, b, *lanes) for lanes in ((0, 4, 1, 5), (2, 6, 3, 7))]
    other = [_mixed(builder, c, d, *lanes) for lanes in ((0, 4, 1, 5), (2, 6, 3, 7))]
    return [_mixed(builder, one[h], other[h], *lanes) for h in (0, 1) for lanes in ((0, 1, 4, 5), (2, 3, 6, 7))]


def _walk(builder, image, base, places, weights, first, count, plane):
    """Call ``plane(weights, one, other, number)`` for each plane: pointers to its two rows, its number modulo four."""

    def rows(r, ahead=0):
        found = []
        for row in (ONE, OTHER):
            place = builder.load(builder.gep(places, [_at(builder, r, row + ahead)]))
            found.append(builder.add(base, builder.sext(place, _INDEX)))
        return found

    def visit(r, own, number):
        for place in rows(r, AHEAD):
            ask_for(builder, builder.gep(image, [place]))
        plane(own, *(run_at(builder, image, place, _ROW) for place in rows(r)), number)

    fours = builder.ashr(count, ir.Constant(_INDEX, 2))
    with cgutils.for_range(builder, fours) as four:
        r = builder.shl(four.index, ir.Constant(_INDEX, 2))
        for number, own in enumerate(_of_four_planes(builder, weights, builder.add(first, r))):
            visit(_at(builder, r, number), own, number)
    begin = builder.shl(fours, ir.Constant(_INDEX, 2))
    with cgutils.for_range(builder, builder.sub(count, begin)) as left:
        r = builder.add(begin, left.index)
        visit(r, few_weights(builder, weights, builder.add(first, r), ir.Constant(_INDEX, PLANES)), 0)


@intrinsic
def _sum_pairs(typingctx, image, base, places, weights, first, count):
    signature = types.float32(image, types.intp, places, weights, types.intp, types.intp)

    def generate(context, builder, signature, arguments):
        kinds = signature.args
        image, base, places, weights, first, count = arguments
        image, places, weights = (
            data_of(context, builder, kinds[i], a) for i, a in ((0, image), (2, places), (3, weights))
        )
        sums = [cgutils.alloca_once(builder, FEW_FLOATS) for _ in range(4)]  # so that no plane waits for the one before
        for total in sums:
            builder.store(ir.Constant(FEW_FLOATS, None), total)

        def plane(own, one, other, number):
            voxels = _mixed(builder, builder.load(one, align=4), builder.load(other, align=4), 0, 1, 2, 3)
            builder.store(multiply_add(builder, own, voxels, builder.load(sums[number])), sums[number])

        _walk(builder, image, base, places, weights, first, count, plane)
        a, b, c, d = (builder.load(total) for total in sums)
        return sum_of_few(builder, builder.fadd(builder.fadd(a, b), builder.fadd(c, d)))

    return signature, generate


@intrinsic
def _add_pairs(typingctx, value, image, base, places, weights, first, count):
    signature = types.void(types.float32, image, types.intp, places, weights, types.intp, types.intp)

    def generate(context, builder, signature, arguments):
        kinds = signature.args
        value, image, base, places, weights, first, count = arguments
        image, places, weights = (
            data_of(context, builder, kinds[i], a) for i, a in ((1, image), (3, places), (4, weights))
        )
        value = splat(builder, value, FEW_FLOATS)

        def plane(own, one, other, number):
            own = builder.fmul(value, own)
            # one row after the other: at the image's border both may be the same
            for row, lanes in ((one, (0, 1)), (other, (2, 3))):
                more = _mixed(builder, own, own, *lanes)
                builder.store(builder.fadd(builder.load(row, align=4), more), row, align=4)

        _walk(builder, image, base, places, weights, first, count, plane)
        return context.get_dummy_value()

    return signature, generate


@numba.njit(inline="always")
def sum_pairs(image, base, places, weights, first, count):
    """Sum over r in range(count) of the four weights of plane r times its voxels.

    The voxels: image[base + places[ONE + r]] and the next, image[base + places[OTHER + r]] and the next; their weights:
    weights[first + v * PLANES + r], v in range(FEW). Contiguous arrays, float32, places int32. Nothing is checked;
    ``places`` is read up to AHEAD numbers further.
    """
    return _sum_pairs(image, base, places, weights, first, count)


@numba.njit(inline="always")
def add_pairs(value, image, base, places, weights, first, count):
    """Add ``value`` times their weights to the same voxels, plane by plane: the transpose of `sum_pairs`."""
    _add_pairs(value, image, base, places, weights, first, count)


if os.environ.get("NUMBA_BOUNDSCHECK", "0") not in ("", "0"):
    # the same steps, voxel by voxel, so that numba's bounds checker sees every access

    @numba.njit
    def _place(base, places, v, r):
        place = base + places[(ONE if v < 2 else OTHER) + r] + v % 2
        if place < 0:
            raise IndexError("negative index")  # numba would count from the end of the array
        return place

    @numba.njit
    def sum_pairs(image, base, places, weights, first, count):
        total = np.float32(0)
        for r in range(count):
            for v in range(FEW):
                total += weights[first + v * PLANES + r] * image[_place(base, places, v, r)]
        return total

    @numba.njit
    def add_pairs(value, image, base, places, weights, first, count):
        for r in range(count):
            for v in range(FEW):
                image[_place(base, places, v, r)] += value * weights[first + v * PLANES + r]
