"""The inner loops of the projector: weighted sums of shifted rows, held in vector registers.

Projecting, back projecting and mixing voxels are all the same step: to LANES neighbouring numbers of one array add
weighted runs of LANES numbers of another. Written as a loop in numba, LLVM has to test at run time whether the arrays
overlap, and to keep the sum in memory; for runs as short as a scanner's planes that costs several times the arithmetic.
So the step is written in LLVM's own vector type. It compiles for every processor that numba knows. List mode has the
same step for a few voxels only (`blend`, `deposit`), and one of its own, which is in pairs.py.
"""

import os

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 32  # four AVX registers; image rows and segments of planes are padded to a multiple
FEW = 4  # voxels of one row that a single line of response reads at once
IMAGES = 8  # images that a stored matrix multiplies at once: one AVX register

_BYTES = ir.PointerType(ir.IntType(8))
_FLOATS = ir.VectorType(ir.FloatType(), LANES)
FEW_FLOATS = ir.VectorType(ir.FloatType(), FEW)
_IMAGE_FLOATS = ir.VectorType(ir.FloatType(), IMAGES)


def data_of(context, builder, array_type, array):
    """Pointer to the first number of a numba array."""
    return context.make_array(array_type)(context, builder, array).data


def run_at(builder, data, index, run=_FLOATS):
    """Pointer to the LANES numbers that begin at ``index`` (or to a shorter run)."""
    return builder.bitcast(builder.gep(data, [index]), ir.PointerType(run))


def splat(builder, value, run=_FLOATS):
    """LANES times the same number (or fewer times)."""
    undefined = ir.Constant(run, ir.Undefined)
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), run.count), None)
    first = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, undefined, zeros)


def multiply_add(builder, a, b, c):
    """a b + c."""
    return builder.fadd(builder.fmul(a, b, flags=("contract",)), c, flags=("contract",))


@intrinsic
def _combine(typingctx, target, at, source, shift, addresses, weights, first, groups, group_step, members, member_step):
    whole = types.intp
    signature = types.void(
        target, whole, source, whole, addresses, weights, whole, whole, whole, whole, whole
    )  # numba converts the whole numbers

    def generate(context, builder, signature, arguments):
        kinds = signature.args
        target, at, source, shift, addresses, weights, first, groups, group_step, members, member_step = arguments
        target, source, addresses, weights = (
            data_of(context, builder, kinds[i], a) for i, a in ((0, target), (2, source), (4, addresses), (5, weights))
        )
        place = run_at(builder, target, at)
        total = cgutils.alloca_once(builder, _FLOATS)
        builder.store(builder.load(place, align=4), total)
        source = builder.gep(source, [shift])
        with cgutils.for_range(builder, groups) as group:
            begin = builder.add(first, builder.mul(group.index, group_step))
            with cgutils.for_range(builder, members) as member:
                entry = builder.add(begin, builder.mul(member.index, member_step))
                address = builder.sext(builder.load(builder.gep(addresses, [entry])), ir.IntType(64))
                weight = splat(builder, builder.load(builder.gep(weights, [entry])))
                values = builder.load(run_at(builder, source, address), align=4)
                builder.store(multiply_add(builder, weight, values, builder.load(total)), total)
        builder.store(builder.load(total), place, align=4)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _spread(typingctx, target, at, source, begin, weight):
    signature = types.void(target, types.intp, source, types.intp, types.float32)

    def generate(context, builder, signature, arguments):
        target, at, source, begin, weight = arguments
        target = data_of(context, builder, signature.args[0], target)
        source = data_of(context, builder, signature.args[2], source)
        place = run_at(builder, target, at)
        values = builder.load(run_at(builder, source, begin), align=4)
        total = multiply_add(builder, splat(builder, weight), values, builder.load(place, align=4))
        builder.store(total, place, align=4)
        return context.get_dummy_value()

    return signature, generate


def _voxel(builder, columns, weights, entry):
    """Where the IMAGES values of an entry's voxel begin, and its weight IMAGES times."""
    column = builder.load(builder.gep(columns, [entry]))
    whole = ir.IntType(64)
    column = builder.zext(column, whole) if column.type.width < 64 else column
    weight = splat(builder, builder.load(builder.gep(weights, [entry])), _IMAGE_FLOATS)
    return builder.mul(column, ir.Constant(whole, IMAGES)), weight


@intrinsic
def _gather_images(typingctx, target, at, source, columns, weights, begin, end):
    signature = types.void(target, types.intp, source, columns, weights, types.intp, types.intp)

    def generate(context, builder, signature, arguments):
        kinds = signature.args
        target, at, source, columns, weights, begin, end = arguments
        target, source, columns, weights = (
            data_of(context, builder, kinds[i], a) for i, a in ((0, target), (2, source), (3, columns), (4, weights))
        )
        total = cgutils.alloca_once(builder, _IMAGE_FLOATS)
        builder.store(ir.Constant(_IMAGE_FLOATS, None), total)
        one = ir.Constant(ir.IntType(64), 1)
        with cgutils.for_range_slice(builder, begin, end, one, inc=True) as (entry, _):
            voxel, weight = _voxel(builder, columns, weights, entry)
            values = builder.load(run_at(builder, source, voxel, _IMAGE_FLOATS), align=4)
            builder.store(multiply_add(builder, weight, values, builder.load(total)), total)
        builder.store(builder.load(total), run_at(builder, target, at, _IMAGE_FLOATS), align=4)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _scatter_images(typingctx, source, at, target, columns, weights, begin, end):
    signature = types.void(source, types.intp, target, columns, weights, types.intp, types.intp)

    def generate(context, builder, signature, arguments):
        kinds = signature.args
        source, at, target, columns, weights, begin, end = arguments
        source, target, columns, weights = (
            data_of(context, builder, kinds[i], a) for i, a in ((0, source), (2, target), (3, columns), (4, weights))
        )
        values = builder.load(run_at(builder, source, at, _IMAGE_FLOATS), align=4)
        one = ir.Constant(ir.IntType(64), 1)
        with cgutils.for_range_slice(builder, begin, end, one, inc=True) as (entry, _):
            voxel, weight = _voxel(builder, columns, weights, entry)
            place = run_at(builder, target, voxel, _IMAGE_FLOATS)
            builder.store(multiply_add(builder, weight, values, builder.load(place, align=4)), place, align=4)
        return context.get_dummy_value()

    return signature, generate


def few_weights(builder, weights, first, step):
    """weights[first + l * step] for l in range(FEW), as a vector."""
    found = ir.Constant(FEW_FLOATS, ir.Undefined)
    for lane in range(FEW):
        at = builder.add(first, builder.mul(step, ir.Constant(first.type, lane)))
        found = builder.insert_element(
            found, builder.load(builder.gep(weights, [at])), ir.Constant(ir.IntType(32), lane)
        )
    return found


def sum_of_few(builder, values):
    """Sum of the FEW numbers of a vector."""
    a, b, c, d = (builder.extract_element(values, ir.Constant(ir.IntType(32), lane)) for lane in range(FEW))
    return builder.fadd(builder.fadd(a, b), builder.fadd(c, d))


@intrinsic
def _blend(typingctx, source, at, step, count, weights, first, lanes, weight_step):
    whole = types.intp
    signature = types.float32(source, whole, whole, whole, weights, whole, whole, whole)

    def generate(context, builder, signature, arguments):
        source, at, step, count, weights, first, lanes, weight_step = arguments
        source, weights = (data_of(context, builder, signature.args[i], arguments[i]) for i in (0, 4))
        total = cgutils.alloca_once_value(builder, ir.Constant(FEW_FLOATS, None))
        builder.store(ir.Constant(FEW_FLOATS, None), total)
        with cgutils.for_range(builder, count) as row:
            place = builder.add(at, builder.mul(row.index, step))
            weight = builder.load(builder.gep(weights, [builder.add(first, builder.mul(row.index, weight_step))]))
            values = builder.load(run_at(builder, source, place, FEW_FLOATS), align=4)
            weight = splat(builder, weight, FEW_FLOATS)
            builder.store(multiply_add(builder, weight, values, builder.load(total)), total)
        products = builder.fmul(builder.load(total), few_weights(builder, weights, lanes, weight_step))
        return sum_of_few(builder, products)

    return signature, generate


@intrinsic
def _deposit(typingctx, value, target, at, step, count, weights, first, lanes, weight_step):
    whole = types.intp
    signature = types.void(types.float32, target, whole, whole, whole, weights, whole, whole, whole)

    def generate(context, builder, signature, arguments):
        value, target, at, step, count, weights, first, lanes, weight_step = arguments
        target, weights = (data_of(context, builder, signature.args[i], arguments[i]) for i in (1, 5))
        along = few_weights(builder, weights, lanes, weight_step)
        along = builder.fmul(splat(builder, value, FEW_FLOATS), along)
        with cgutils.for_range(builder, count) as row:
            place = run_at(builder, target, builder.add(at, builder.mul(row.index, step)), FEW_FLOATS)
            weight = builder.load(builder.gep(weights, [builder.add(first, builder.mul(row.index, weight_step))]))
            weight = splat(builder, weight, FEW_FLOATS)
            builder.store(multiply_add(builder, weight, along, builder.load(place, align=4)), place, align=4)
        return context.get_dummy_value()

    return signature, generate


def ask_for(builder, pointer, more=0):
    """Have the cache line ``more`` bytes beyond a pointer brought into the cache."""
    place = builder.gep(builder.bitcast(pointer, _BYTES), [ir.Constant(ir.IntType(64), more)])
    kind = ir.FunctionType(ir.VoidType(), [_BYTES, *[ir.IntType(32)] * 3])
    ask = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    to_read, keep, data = (ir.Constant(ir.IntType(32), n) for n in (0, 3, 1))
    builder.call(ask, [place, to_read, keep, data])


def _prefetcher(numbers):
    """An intrinsic that asks for so many numbers from an index on, a cache line of 64 bytes at a time."""

    @intrinsic
    def prefetch(typingctx, array, at):
        signature = types.void(array, types.intp)

        def generate(context, builder, signature, arguments):
            pointer = builder.gep(data_of(context, builder, signature.args[0], arguments[0]), [arguments[1]])
            for line in range(0, 4 * numbers, 64):
                ask_for(builder, pointer, line)
            return context.get_dummy_value()

        return signature, generate

    return prefetch


_prefetch, _prefetch_few = _prefetcher(LANES), _prefetcher(FEW)


@numba.njit(inline="always")
def prefetch(array, at):
    """Ask for array[at : at + LANES] to be in the cache soon."""
    _prefetch(array, at)


@numba.njit(inline="always")
def prefetch_few(array, at):
    """Ask for array[at] and what is in the same cache line."""
    _prefetch_few(array, at)


@numba.njit(inline="always")
def combine(target, at, source, shift, addresses, weights, first, groups, group_step, members, member_step):
    """target[at + l] += sum over entries e of weights[e] * source[addresses[e] + shift + l], for l in range(LANES).

    The entries are ``first + g * group_step + m * member_step`` for g in range(groups), m in range(members).
    One-dimensional contiguous arrays: float32, addresses int32. Nothing is checked.
    """
    _combine(target, at, source, shift, addresses, weights, first, groups, group_step, members, member_step)


@numba.njit(inline="always")
def spread(target, at, source, begin, weight):
    """target[at + l] += weight * source[begin + l], for l in range(LANES). Nothing is checked."""
    _spread(target, at, source, begin, weight)


@numba.njit(inline="always")
def blend(source, at, step, count, weights, first, lanes, weight_step):
    """sum over r in range(count), l in range(FEW) of a_r b_l source[at + r * step + l].

    a_r = weights[first + r * weight_step], b_l = weights[lanes + l * weight_step]. Nothing is checked.
    """
    return _blend(source, at, step, count, weights, first, lanes, weight_step)


@numba.njit(inline="always")
def deposit(value, target, at, step, count, weights, first, lanes, weight_step):
    """target[at + r * step + l] += value a_r b_l: the transpose of `blend`. Nothing is checked."""
    _deposit(value, target, at, step, count, weights, first, lanes, weight_step)


if os.environ.get("NUMBA_BOUNDSCHECK", "0") not in ("", "0"):
    # the same steps, number by number, so that numba's bounds checker sees every access

    @numba.njit
    def combine(target, at, source, shift, addresses, weights, first, groups, group_step, members, member_step):
        for lane in range(LANES):
            total = target[at + lane]
            for group in range(groups):
                for member in range(members):
                    entry = first + group * group_step + member * member_step
                    if at < 0 or entry < 0 or addresses[entry] + shift < 0:
                        raise IndexError("negative index")  # numba would count from the end of the array
                    total += weights[entry] * source[addresses[entry] + shift + lane]
            target[at + lane] = total

    @numba.njit
    def spread(target, at, source, begin, weight):
        for lane in range(LANES):
            target[at + lane] += weight * source[begin + lane]

    @numba.njit
    def blend(source, at, step, count, weights, first, lanes, weight_step):
        total = np.float32(0)
        for row in range(count):
            for lane in range(FEW):
                if at + row * step < 0:
                    raise IndexError("negative index")
                weight = weights[first + row * weight_step] * weights[lanes + lane * weight_step]
                total += weight * source[at + row * step + lane]
        return total

    @numba.njit
    def deposit(value, target, at, step, count, weights, first, lanes, weight_step):
        for row in range(count):
            for lane in range(FEW):
                if at + row * step < 0:
                    raise IndexError("negative index")
                weight = weights[first + row * weight_step] * weights[lanes + lane * weight_step]
                target[at + row * step + lane] += value * weight


@numba.njit(inline="always")
def gather_images(target, at, source, columns, weights, begin, end):
    """target[at + l] = sum over entries e of weights[e] * source[columns[e] * IMAGES + l], for l in range(IMAGES).

    Nothing is checked.
    """
    _gather_images(target, at, source, columns, weights, begin, end)


@numba.njit(inline="always")
def scatter_images(source, at, target, columns, weights, begin, end):
    """target[columns[e] * IMAGES + l] += weights[e] * source[at + l]: the transpose of `gather_images`."""
    _scatter_images(source, at, target, columns, weights, begin, end)
