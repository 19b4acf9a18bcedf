"""List mode of the Siemens Biograph mMR: 32-bit words, read in blocks into sinograms.

A word is an event (bit 31 is 0; bit 30 is 1 for a prompt, 0 for a delayed; bits 0 to 29 are the address, which is
``plane · 86688 + view · 344 + bin`` with span 1), a time (top three bits 100, then milliseconds), or a bucket's singles
rate (101, then 10 bits of bucket and 19 bits of counts per second over 8). Words of other kinds are passed over.
"""

from dataclasses import dataclass

import numpy as np

from pettutor.files import existing_file
from pettutor.io import mmr

BLOCK = 1 << 22  # words in memory at a time, 16 MB
_TIME, _SINGLES = 0b100, 0b101
_PROMPT = 1 << 30


@dataclass(frozen=True, repr=False)
class ListMode:
    """What a part of a list-mode file holds.

    Attributes
    ----------
    prompts, delayeds : numpy.ndarray
        float32 (plane, view, bin), counts. That is what reconstruction takes, and it holds whole numbers exactly up to
        16 million; a view of memory laid out (view, bin, plane), as the projector's own.
    delayed_fans : numpy.ndarray
        int64 (ring, crystal position); the delayeds that each crystal took part in, in all planes kept.
    start : float
        Where the part begins, s after the file's first time.
    seconds : float
        How long it is.
    prompts_per_second, delayeds_per_second : numpy.ndarray
        int64 (second,); events of the whole scanner from ``start`` on, in any plane: the head curve. The last second
        may be a short one.
    bucket_singles : numpy.ndarray
        float64 (224,); mean singles rate of each bucket, counts per second; NaN where none was reported.
    """

    prompts: np.ndarray
    delayeds: np.ndarray
    delayed_fans: np.ndarray
    start: float
    seconds: float
    prompts_per_second: np.ndarray
    delayeds_per_second: np.ndarray
    bucket_singles: np.ndarray

    def __repr__(self):
        prompts, delayeds = (float(s.sum(dtype=np.float64)) for s in (self.prompts, self.delayeds))
        return (
            f"<ListMode {self.prompts.shape}: prompts {prompts:.4g}, delayeds {delayeds:.4g}, "
            f"{self.seconds:g} s from {self.start:g} s>"
        )


def read_listmode(path, scanner, *, start=0.0, stop=None, first_ring=None, progress=False):
    """Histogram a list-mode file of the mMR, of any length: at no time is more than a block of it in memory.

    Parameters
    ----------
    path : path
        The file of words: ``.bf`` or ``.l``, without a header.
    scanner : Scanner
        ``Scanner.preset("mmr")`` with any span and maximum ring difference, or some of its rings: with ``rings=1,
        span=1, max_ring_difference=0`` a single ring. Events of other ring pairs are left out.
    start, stop : float
        Only events from ``start`` on and before ``stop``, s after the file's first time; by default all.
    first_ring : int, optional
        Which ring of the mMR is the scanner's ring 0; by default such that the scanner's rings lie in the middle.
    progress : bool
        A progress bar over the file.

    Returns
    -------
    ListMode

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        There is no such file, or a folder of that name.
    TypeError, ValueError
        A scanner of another make; times out of range; a file that is no list mode: a size that is not a multiple of 4,
        no times, times that go back, addresses beyond the scanner.
    """
    path = _check_file(path)
    first_ring = mmr.check_scanner(scanner, first_ring)
    histogram = _Histogram(path, scanner, first_ring, *_check_window(start, stop))
    with open(path, "rb") as file, _bar(path, progress) as bar:
        while not histogram.finished and len(words := np.fromfile(file, "<u4", BLOCK)):
            histogram.add(words)
            bar.update(words.nbytes)
    return histogram.result()


def _check_file(path):
    path = existing_file(path, "a list-mode file")
    if path.stat().st_size % 4:
        raise ValueError(f"{path}: expected words of 4 bytes, got {path.stat().st_size} bytes, not a multiple of 4")
    return path


def _check_window(start, stop):
    """The window in whole milliseconds; ``stop`` may be None."""
    stop = np.inf if stop is None else stop
    if not (np.isfinite(start) and start >= 0):
        raise ValueError(f"start: expected seconds >= 0, got {start!r}")
    if not stop > start:
        raise ValueError(f"stop: expected more than start ({start:g} s), got {stop!r}")
    return round(1000 * start), stop if np.isinf(stop) else round(1000 * stop)


def _bar(path, progress):
    from tqdm.auto import tqdm

    return tqdm(total=path.stat().st_size, unit="B", unit_scale=True, desc=path.name, disable=not progress)


class _Histogram:
    """Counts of the words so far; times are in ms after the first one."""

    def __init__(self, path, scanner, first_ring, start, stop):
        self.path, self.scanner, self.start, self.stop = path, scanner, start, stop
        self.words, self.zero, self.now, self.finished = 0, None, 0, False
        planes, views, bins = scanner.sinogram_shape
        self.planes = planes
        self.prompts, self.delayeds = (np.zeros((views * bins, planes), np.float32) for _ in range(2))
        self.fans = np.zeros(scanner.rings * scanner.crystal_positions, np.int64)
        self.rates = ([], [])  # prompts and delayeds of each second, from the start of the window
        self.singles_sum, self.singles_count = np.zeros(mmr.BUCKETS), np.zeros(mmr.BUCKETS, np.int64)
        self.crystals = scanner.bin_crystals.reshape(-1, 2)
        plane_of = scanner.plane_of_ring_pair
        ring0, ring1 = np.nonzero(plane_of >= 0)
        in_file = mmr.pairs_in_file(mmr.plane_in_file(1), scanner, first_ring)[ring0, ring1]
        # by the file's plane: the library's plane (-1: not kept) and the rings of both crystals
        self.plane_of = np.full(mmr.plane_in_file(1).max() + 1, -1)
        self.plane_of[in_file] = plane_of[ring0, ring1]
        self.rings_of = np.zeros((len(self.plane_of), 2), int)
        self.rings_of[in_file] = np.stack([ring0, ring1], axis=-1)

    def add(self, words):
        kind = words >> 29
        places = np.flatnonzero(kind == _TIME)
        times = (words[places] & 0x1FFFFFFF).astype(np.int64)
        if len(times) and self.zero is None:
            self.zero = int(times[0])
        times -= self.zero or 0
        self._check_times(places, times)
        if self.now >= self.start:  # the window is open: what comes before the first time here belongs to it, too
            places, times = np.append(0, places), np.append(self.now, times)
        for (begin, end), second in _by_second(places, times, self.start, self.stop, len(words)):
            self._count(words[begin:end], kind[begin:end], second)
        self.words += len(words)
        if len(times):
            self.now = int(times[-1])
            self.finished = self.now >= self.stop

    def _check_times(self, places, times):
        back = np.flatnonzero(np.diff(times, prepend=self.now) < 0)
        if len(back):
            before = self.now if back[0] == 0 else times[back[0] - 1]
            raise ValueError(
                f"{self.path}: expected times that grow, got {times[back[0]]} ms after {before} ms "
                f"in word {self.words + places[back[0]]}"
            )

    def _count(self, words, kind, second):
        events = words[words < 1 << 31]
        prompt = events >= _PROMPT
        plane, rest = np.divmod(events & np.uint32(_PROMPT - 1), np.uint32(mmr.PLANE_BINS))
        if len(plane) and plane.max() >= len(self.plane_of):
            raise ValueError(
                f"{self.path}: expected addresses below {len(self.plane_of)} planes of {mmr.PLANE_BINS} bins, "
                f"got one in plane {plane.max()}: not from an mMR, or not with span 1"
            )
        for rate, number in zip(self.rates, (prompt.sum(), (~prompt).sum()), strict=True):
            rate.extend([0] * (second + 1 - len(rate)))
            rate[second] += int(number)
        kept = self.plane_of[plane] >= 0
        prompt, plane, rest = prompt[kept], plane[kept], rest[kept].astype(np.int64)
        place = rest * self.planes + self.plane_of[plane]
        for counts, these in ((self.prompts, prompt), (self.delayeds, ~prompt)):
            np.add.at(counts.reshape(-1), place[these], np.float32(1))
        fans = self.rings_of[plane[~prompt]] * self.scanner.crystal_positions + self.crystals[rest[~prompt]]
        self.fans += np.bincount(fans.ravel(), minlength=len(self.fans))
        self._count_singles(words[kind == _SINGLES])

    def _count_singles(self, words):
        bucket = (words & 0x1FFFFFFF) >> 19
        known = bucket < mmr.BUCKETS  # real files hold a few higher numbers, which mean nothing
        rates = (words[known] & 0x7FFFF).astype(float) * 8
        self.singles_sum += np.bincount(bucket[known], rates, minlength=mmr.BUCKETS)
        self.singles_count += np.bincount(bucket[known], minlength=mmr.BUCKETS)

    def result(self):
        if self.zero is None:
            raise ValueError(f"{self.path}: expected list mode, got no time in {self.words} words")
        end = min(self.stop, self.now + 1)
        if end <= self.start:
            raise ValueError(
                f"start: expected less than the file's {(self.now + 1) / 1000:g} s, got {self.start / 1000:g}"
            )
        planes, views, bins = self.scanner.sinogram_shape
        seconds = -(-(end - self.start) // 1000)
        for rate in self.rates:
            rate.extend([0] * (seconds - len(rate)))
        with np.errstate(invalid="ignore"):  # 0 / 0: never reported
            singles = self.singles_sum / self.singles_count
        return ListMode(
            *(counts.reshape(views, bins, planes).transpose(2, 0, 1) for counts in (self.prompts, self.delayeds)),
            delayed_fans=self.fans.reshape(self.scanner.rings, -1),
            start=self.start / 1000,
            seconds=(end - self.start) / 1000,
            prompts_per_second=np.array(self.rates[0], np.int64),
            delayeds_per_second=np.array(self.rates[1], np.int64),
            bucket_singles=singles,
        )


def _by_second(places, times, start, stop, length):
    """Pieces (begin, end) of a block that lie in one second of the window, each with that second."""
    inside = (times >= start) & (times < stop)
    if not inside.any():
        return
    first, last = np.flatnonzero(inside)[[0, -1]]
    end = places[last + 1] if last + 1 < len(places) else length
    seconds = (times[first : last + 1] - start) // 1000
    changes = np.flatnonzero(np.diff(seconds, prepend=-1))
    borders = np.append(places[first + changes], end)
    for begin, until, second in zip(borders, borders[1:], seconds[changes], strict=False):
        yield (begin, until), int(second)
