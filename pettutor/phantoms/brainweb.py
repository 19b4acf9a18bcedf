"""BrainWeb subjects: twenty normal heads as label volumes of 0.5 mm, from the files the ``brainweb`` package caches.

File: gzip of little-endian uint16, C order (z, y, x) = (362, 434, 362), y from posterior to anterior. A file is decoded
plane by plane and checked on every load: a damaged one is never used, and the message says how to mend it.
"""

import gzip
import hashlib
import os
import zlib
from pathlib import Path

import numpy as np

from pettutor.phantoms import tissues
from pettutor.phantoms.subject import Subject

SUBJECTS = ("04", "05", "06", "18", "20", "38", *map(str, range(41, 55)))
SHAPE = (362, 434, 362)
VOXEL_SIZE = (0.5, 0.5, 0.5)
RAW_BYTES = 2 * SHAPE[0] * SHAPE[1] * SHAPE[2]  # 113,746,192
CACHE_VARIABLE = "PETTUTOR_BRAINWEB_CACHE"
CITATION = (
    "Collins et al., Design and construction of a realistic digital brain phantom, IEEE TMI 17:463, 1998; "
    "Aubert-Broche et al., Twenty new digital brain phantoms for creation of validation image data bases, "
    "IEEE TMI 25:1410, 2006; a new improved version of the realistic digital brain phantom, NeuroImage 32:138, 2006"
)

# sha256 of the raw bytes (before compression); for the other subjects size, codes and the gzip CRC are checked.
SHA256 = {
    "04": "717b5577026139a4ff584e0f19068899674ae6861d7100e3031d3866062c4bc2",
    "05": "d63abc7f50d7e0111db62e0c33ce3fc7221b143355a6d8f2507d52953e4fe046",
    "06": "4b4713d78ab7ec1e6ec8cb09e66129ad5f26a5ea95197b7f38d53b2b99700d4c",
    "18": "8b4d6949786f6466b9fd77a61a74c169a39507e4974d9cb0b4a6870e068d6bc5",
    "20": "0a9abb8c557bd01507c9061d0d0f4d394964f74cec6c270041843d99f31eb164",
    "38": "bd772fc59d4f2b3edb9aa2fc8a5f6cc70b39f1c24f8ecd61d650362d34d90859",
}

UNKNOWN = 255


class DamagedFile(ValueError):
    """A file that is not a whole BrainWeb subject."""


def decode_table():
    """Return the uint8 table raw code (0 to 4095) -> label ``rint(raw·255/4095)``; 255 where there is no such label."""
    label = np.rint(np.arange(4096) * 255 / 4095)
    return np.where(label < len(tissues.LABELS), label, UNKNOWN).astype(np.uint8)


def encode_table():
    """Return the uint16 table label -> raw code ``rint(label·4095/255)``: 0, 16, ..., 128, 145, 161, 177."""
    return np.rint(np.arange(len(tissues.LABELS)) * 4095 / 255).astype("<u2")


def check_subject(subject):
    """Return the two-digit name of a BrainWeb subject.

    Raises
    ------
    ValueError
        There is no such subject.
    """
    text = f"{subject:02d}" if isinstance(subject, int) and not isinstance(subject, bool) else str(subject).zfill(2)
    if text not in SUBJECTS:
        raise ValueError(f"BrainWeb subject: expected one of {' '.join(SUBJECTS)}, got {subject!r}")
    return text


def cache_folder(cache=None):
    """The folder of the BrainWeb files: the argument, else ``PETTUTOR_BRAINWEB_CACHE``, else ``~/.brainweb``."""
    return Path(cache or os.environ.get(CACHE_VARIABLE) or "~/.brainweb").expanduser()


def file_name(subject):
    """Name of a subject's file, as the ``brainweb`` package has it."""
    return f"subject_{check_subject(subject)}.bin.gz"


def read_labels(path, subject):
    """Decode and check a file plane by plane.

    Parameters
    ----------
    path : path
    subject : str
        Two digits; chooses the checksum.

    Returns
    -------
    numpy.ndarray
        uint8 (z, y, x) = (362, 434, 362), y from posterior to anterior as in the file.

    Raises
    ------
    DamagedFile
        Not gzip, cut short, too long, a code that no tissue has, or the wrong checksum.
    """
    decode, encode = decode_table(), encode_table()
    labels = np.empty(SHAPE, np.uint8)
    plane_bytes = RAW_BYTES // SHAPE[0]
    expected = SHA256.get(subject)
    digest = hashlib.sha256()
    try:
        with gzip.open(path, "rb") as file:
            for k in range(SHAPE[0]):
                raw = file.read(plane_bytes)
                if len(raw) < plane_bytes:
                    size = k * plane_bytes + len(raw)
                    raise DamagedFile(f"expected {RAW_BYTES:,} bytes after decompression, got {size:,}")
                codes = np.frombuffer(raw, "<u2")
                if codes.max() >= decode.size or (plane := decode[codes]).max() == UNKNOWN:
                    raise DamagedFile(f"expected tissue codes 0 to 177, got {int(codes.max())} in plane {k}")
                labels[k] = plane.reshape(SHAPE[1:])
                # over the codes of the labels: a file with other rounding but the same labels is the same anatomy
                if expected:
                    digest.update(encode[plane].tobytes())
            if file.read(1):  # reading to the end also checks gzip's CRC
                raise DamagedFile(f"expected {RAW_BYTES:,} bytes after decompression, got more")
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DamagedFile(f"expected a gzip file, got {_start(path)} ({error})") from error
    except EOFError as error:
        raise DamagedFile("expected a whole gzip file, got one that is cut short") from error
    if expected and digest.hexdigest() != expected:
        raise DamagedFile(f"expected sha256 {expected[:16]}… of subject {subject}, got {digest.hexdigest()[:16]}…")
    return labels


def _start(path):
    with open(path, "rb") as file:
        start = file.read(200).lstrip().lower()
    return "a web page" if start.startswith((b"<!doctype", b"<html")) else "something else"


def load_brainweb(subject, *, cache=None, legacy=False, download=True, base_url=None, progress=True):
    """Load a BrainWeb subject; see :func:`pettutor.phantoms.load_subject`."""
    subject = check_subject(subject)
    path = cache_folder(cache) / file_name(subject)
    if not path.exists():
        if not download:
            raise FileNotFoundError(
                f"BrainWeb subject {subject}: expected {path} (download=False), got no such file. "
                f"Fetch it with: {fetch_command(subject, cache)}  or use load_subject('mni:0'), which needs no network"
            )
        from pettutor.phantoms.download import fetch_brainweb

        fetch_brainweb(subject, cache=cache, base_url=base_url, progress=progress)
    try:
        labels = read_labels(path, subject)
    except DamagedFile as error:
        raise DamagedFile(f"{path}: {error}. Mend it with: {fetch_command(subject, cache, force=True)}") from error
    return Subject(
        name=f"brainweb:{subject}",
        source=f"BrainWeb anatomical model, subject {subject}",
        citation=CITATION,
        labels=labels[:, ::-1],  # y from anterior to posterior
        voxel_size=VOXEL_SIZE,
        origin=tuple(-0.5 * d * (n - 1) for n, d in zip(SHAPE, VOXEL_SIZE, strict=True)),
        legacy=legacy,
    )


def fetch_command(subject, cache=None, force=False):
    """The shell command that fetches a subject."""
    arguments = f"'{subject}'" + (f", cache={str(cache)!r}" if cache else "") + (", force=True" if force else "")
    return f'python -c "from pettutor.phantoms import fetch_brainweb; fetch_brainweb({arguments})"'
