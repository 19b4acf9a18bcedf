"""Writing list mode of the Siemens Biograph mMR from sinograms of counts, for simulated raw data and for tests."""

from pathlib import Path

import numpy as np

from pettutor.arrays import describe, random_generator
from pettutor.files import whole_file
from pettutor.io import mmr

_TIME, _SINGLES = np.uint32(0b100 << 29), np.uint32(0b101 << 29)
_PROMPT = np.uint32(1 << 30)
HIGHEST_RATE = 8 * 0x7FFFF  # counts per second that a word of singles can hold


def write_listmode(
    path,
    prompts,
    delayeds,
    scanner,
    *,
    seconds,
    seed,
    first_ring=None,
    time_course=None,
    delayed_time_course=None,
    bucket_singles=None,
):
    """Write counts as a list-mode file of the mMR: every event at a random time, a time in every millisecond.

    Reading it with the same scanner and ``first_ring`` gives exactly these counts. An event of a plane with span > 1
    goes to one of its ring pairs at random, all equally likely.

    Parameters
    ----------
    path : path
        A file of that name is replaced, only by a whole new one.
    prompts, delayeds : arrays (plane, view, bin)
        Whole numbers >= 0, of any real dtype.
    scanner : Scanner
        ``Scanner.preset("mmr")``, or some of its rings, as for :func:`read_listmode`.
    seconds : float
        Length of the scan; rounded to milliseconds.
    seed : int or numpy.random.Generator
    first_ring : int, optional
        As for :func:`read_listmode`.
    time_course : array (second,), optional
        Relative count rate in each second (the last may be a short one); by default constant.
    delayed_time_course : array (second,), optional
        That of the delayeds, if they have another one.
    bucket_singles : array (224,), optional
        Singles rate of each bucket, counts per second up to 4.19 million, rounded to 8; reported once a second. By
        default none are reported.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    FileNotFoundError
        There is no such folder.
    TypeError, ValueError
        Counts that are no whole numbers or of another shape than the scanner's sinogram; a scanner of another make;
        times or rates out of range.
    """
    first_ring = mmr.check_scanner(scanner, first_ring)
    if isinstance(seconds, bool) or not np.isfinite(seconds) or not 1 <= round(1000 * seconds) < 1 << 29:
        raise ValueError(f"seconds: expected 0.001 … {((1 << 29) - 1) / 1000:g}, got {seconds!r}")
    milliseconds = round(1000 * seconds)
    shares = _shares(time_course, "time_course", milliseconds)
    delayed_shares = shares
    if delayed_time_course is not None:
        delayed_shares = _shares(delayed_time_course, "delayed_time_course", milliseconds)
    reports = _reports(bucket_singles)
    rng = random_generator(seed)
    counts = [_check_counts(c, name, scanner) for c, name in ((prompts, "prompts"), (delayeds, "delayeds"))]
    streams = [
        _events(sinogram, mark, scanner, first_ring, rng)
        for sinogram, mark in zip(counts, (_PROMPT, np.uint32(0)), strict=True)
    ]
    in_each = [rng.multinomial(len(events), s) for events, s in zip(streams, (shares, delayed_shares), strict=True)]
    with whole_file(path) as file:
        begin = [0, 0]
        for start in range(0, milliseconds, 1000):
            stop = min(start + 1000, milliseconds)
            parts, places = [], []
            for k, (events, number) in enumerate(zip(streams, in_each, strict=True)):
                here = number[start:stop]
                parts.append(events[begin[k] : begin[k] + here.sum()])
                places.append(np.repeat(np.arange(stop - start, dtype=np.int16), here))
                begin[k] += int(here.sum())
            words = _in_order(np.concatenate(parts), np.concatenate(places), start, stop, rng)
            np.concatenate([words[:1], reports, words[1:]]).astype("<u4").tofile(file)
    return Path(path)


def _in_order(events, places, start, stop, rng):
    """A second's events after the time of their millisecond, prompts and delayeds mixed."""
    mixed = rng.permutation(len(events))
    times = _TIME | np.arange(start, stop, dtype=np.uint32)
    keys = np.concatenate([np.arange(stop - start, dtype=np.int16), places[mixed]])
    return np.concatenate([times, events[mixed]])[np.argsort(keys, kind="stable")]


def _check_counts(counts, name, scanner):
    counts = np.asarray(counts)
    if counts.shape != scanner.sinogram_shape:
        raise ValueError(f"{name}: expected shape {scanner.sinogram_shape} of the scanner, got {describe(counts)}")
    if counts.dtype.kind not in "iuf":
        raise TypeError(f"{name}: expected whole numbers, got {describe(counts)}")
    wrong = ~np.isfinite(counts) | (counts < 0) | (counts != np.rint(counts))
    if wrong.any():
        raise ValueError(f"{name}: expected whole numbers >= 0, got {counts[wrong][0]!r}")
    return counts


def _shares(time_course, name, milliseconds):
    """Probability of an event to fall into each millisecond."""
    seconds = -(-milliseconds // 1000)
    course = np.ones(seconds) if time_course is None else np.asarray(time_course, dtype=float)
    if course.shape != (seconds,) or not np.isfinite(course).all() or (course < 0).any() or not course.sum() > 0:
        raise ValueError(f"{name}: expected {seconds} relative rates >= 0, not all 0, got {describe(course)}")
    shares = np.repeat(course, 1000)[:milliseconds]
    if not shares.sum() > 0:
        raise ValueError(f"{name}: expected a rate above 0 within the scan, got none")
    return shares / shares.sum()


def _reports(bucket_singles):
    """The words that report the singles of all buckets once."""
    if bucket_singles is None:
        return np.empty(0, np.uint32)
    rates = np.asarray(bucket_singles, dtype=float)
    if rates.shape != (mmr.BUCKETS,):
        raise ValueError(f"bucket_singles: expected {mmr.BUCKETS} rates, got {describe(rates)}")
    if not ((rates >= 0) & (rates <= HIGHEST_RATE)).all():
        raise ValueError(
            f"bucket_singles: expected rates 0 … {HIGHEST_RATE} per second, got {rates.min()} … {rates.max()}"
        )
    return _SINGLES | np.arange(mmr.BUCKETS, dtype=np.uint32) << np.uint32(19) | np.rint(rates / 8).astype(np.uint32)


def _events(sinogram, mark, scanner, first_ring, rng):
    """The events of a sinogram as words, in random order."""
    plane_of = scanner.plane_of_ring_pair
    in_file = mmr.pairs_in_file(mmr.plane_in_file(1), scanner, first_ring)
    words = np.empty(int(sinogram.sum(dtype=np.float64)), np.uint32)
    bins = np.arange(mmr.PLANE_BINS, dtype=np.uint32)
    begin = 0
    for plane, one in enumerate(sinogram):
        addresses = np.repeat(bins, one.reshape(-1).astype(np.int64))
        choices = in_file[plane_of == plane].astype(np.uint32)
        pairs = choices[rng.integers(len(choices), size=len(addresses))] if len(choices) > 1 else choices
        words[begin : begin + len(addresses)] = mark | (addresses + pairs * np.uint32(mmr.PLANE_BINS))
        begin += len(addresses)
    rng.shuffle(words)
    return words
