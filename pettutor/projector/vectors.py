"""The one inner loop of the projector: a weighted sum of shifted rows, held in vector registers.

Projecting, back projecting and mixing voxels are all the same step: to LANES neighbouring numbers of one array add
weighted runs of LANES numbers of another. Written as a loop in numba, LLVM has to test at run time whether the arrays
overlap, and to keep the sum in memory; for runs as short as a scanner's planes that costs several times the arithmetic.
So the step is written in LLVM's own vector type. It compiles for every processor that numba knows.
"""

import os

import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 32  # four AVX registers; image rows and segments of planes are padded to a multiple

_BYTES = ir.PointerType(ir.IntType(8))
_FLOATS = ir.VectorType(ir.FloatType(), LANES)


def _data(context, builder, array_type, array):
    return context.make_array(array_type)(context, builder, array).data


def _run_at(builder, data, index):
    """Pointer to the LANES numbers that begin at ``index``."""
    return builder.bitcast(builder.gep(data, [index]), ir.PointerType(_FLOATS))


def _splat(builder, value):
    """LANES times the same number."""
    undefined = ir.Constant(_FLOATS, ir.Undefined)
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)
    first = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, undefined, zeros)


def _multiply_add(builder, a, b, c):
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
            _data(context, builder, kinds[i], a) for i, a in ((0, target), (2, source), (4, addresses), (5, weights))
        )
        place = _run_at(builder, target, at)
        total = cgutils.alloca_once(builder, _FLOATS)
        builder.store(builder.load(place, align=4), total)
        source = builder.gep(source, [shift])
        with cgutils.for_range(builder, groups) as group:
            begin = builder.add(first, builder.mul(group.index, group_step))
            with cgutils.for_range(builder, members) as member:
                entry = builder.add(begin, builder.mul(member.index, member_step))
                address = builder.sext(builder.load(builder.gep(addresses, [entry])), ir.IntType(64))
                weight = _splat(builder, builder.load(builder.gep(weights, [entry])))
                values = builder.load(_run_at(builder, source, address), align=4)
                builder.store(_multiply_add(builder, weight, values, builder.load(total)), total)
        builder.store(builder.load(total), place, align=4)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _spread(typingctx, target, at, source, begin, weight):
    signature = types.void(target, types.intp, source, types.intp, types.float32)

    def generate(context, builder, signature, arguments):
        target, at, source, begin, weight = arguments
        target = _data(context, builder, signature.args[0], target)
        source = _data(context, builder, signature.args[2], source)
        place = _run_at(builder, target, at)
        values = builder.load(_run_at(builder, source, begin), align=4)
        total = _multiply_add(builder, _splat(builder, weight), values, builder.load(place, align=4))
        builder.store(total, place, align=4)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _prefetch(typingctx, array, at):
    signature = types.void(array, types.intp)

    def generate(context, builder, signature, arguments):
        pointer = builder.bitcast(
            builder.gep(_data(context, builder, signature.args[0], arguments[0]), [arguments[1]]), _BYTES
        )
        kind = ir.FunctionType(ir.VoidType(), [_BYTES, *[ir.IntType(32)] * 3])
        prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        to_read, keep, data = (ir.Constant(ir.IntType(32), n) for n in (0, 3, 1))
        for line in range(0, 4 * LANES, 64):
            place = builder.gep(pointer, [ir.Constant(ir.IntType(64), line)])
            builder.call(prefetch, [place, to_read, keep, data])
        return context.get_dummy_value()

    return signature, generate


@numba.njit(inline="always")
def prefetch(array, at):
    """Ask for array[at : at + LANES] to be in the cache soon."""
    _prefetch(array, at)


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
