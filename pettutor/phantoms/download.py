"""Fetching BrainWeb files so that the cache only ever holds whole, checked ones.

A transfer goes to a temporary file beside its destination, is checked there (HTTP status, length, gzip CRC, size,
tissue codes, checksum) and only then renamed. Whatever goes wrong, the temporary file is removed.
"""

import functools
import os
import shutil
import tempfile
import warnings

from pettutor import download
from pettutor.arrays import announce_once
from pettutor.download import Unreachable
from pettutor.phantoms.brainweb import DamagedFile, cache_folder, check_subject, file_name, read_labels

FILE_BYTES = 4_100_000  # compressed size of the largest subject, about
LARGEST = 64_000_000  # nothing that BrainWeb serves is longer
LICENCE = "free to use with citation (McConnell Brain Imaging Centre, Montreal Neurological Institute)"
_ADDRESS = (
    "http://brainweb.bic.mni.mcgill.ca/cgi/brainweb1?do_download_alias=subject{}_crisp&format_value=raw_short"
    "&zip_value=gnuzip&download_for_real=%5BStart+download%21%5D"
)


def addresses(subject, base_url=None):
    """Addresses to try for a subject, best first.

    With ``base_url`` that folder alone; else the address in the ``brainweb`` package's list, by https, then as listed.
    """
    if base_url is not None:
        return [f"{base_url.rstrip('/')}/{file_name(subject)}"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # it imports a SciPy module that is about to go
            from brainweb import LINKS

        listed = LINKS[file_name(subject)]
    except (ImportError, AttributeError, KeyError) as error:
        announce_once(f"the brainweb package cannot be asked for its addresses ({error}); using the address known here")
        listed = _ADDRESS.format(check_subject(subject))
    secure = listed.replace("http://", "https://", 1)
    return [secure] if secure == listed else [secure, listed]


def fetch_brainweb(
    subject, *, cache=None, base_url=None, force=False, progress=True, timeout=30.0, retries=3, pause=1.0
):
    """Download a BrainWeb subject (about 4 MB) into the cache, unless a file is there.

    Parameters
    ----------
    subject : str or int
        04 05 06 18 20 38 41 to 54.
    cache : path, optional
        Default ``PETTUTOR_BRAINWEB_CACHE``, else ``~/.brainweb``.
    base_url : str, optional
        A mirror that serves ``subject_NN.bin.gz``.
    force : bool
        Replace the file that is there (only by a whole one).
    progress : bool
    timeout : float
        Seconds without a byte before a connection is given up.
    retries : int
        Attempts per address; a transfer that was cut is resumed where the server allows it.
    pause : float
        Seconds before the second attempt, doubled each time.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    OSError
        Offline, an HTTP error, or no room or permission in the cache; nothing is left behind.
    ValueError
        What came is not the subject (:class:`DamagedFile`); nothing is left behind.
    """
    subject = check_subject(subject)
    if retries < 1 or timeout <= 0:
        raise ValueError(f"expected retries >= 1 and timeout > 0 s, got retries={retries}, timeout={timeout}")
    folder = cache_folder(cache)
    path = folder / file_name(subject)
    if path.exists() and not force:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < 2 * FILE_BYTES:
        raise OSError(f"{folder}: expected {2 * FILE_BYTES / 1e6:.0f} MB of free disk, got {free / 1e6:.1f} MB")
    handle, part = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=folder)
    os.close(handle)
    fill = functools.partial(
        download.fill, part=part, name=f"subject {subject}", check=lambda path: read_labels(path, subject), look=_look,
        refusal=DamagedFile, largest=LARGEST, title=f"BrainWeb {subject}", progress=progress,
    )  # fmt: skip
    try:
        failures = []
        *first, last = addresses(subject, base_url)
        for address in (*first, last):
            try:
                if address is last:
                    fill(address, timeout=timeout, retries=retries, pause=pause)
                else:  # a server without https often does not answer at all: ask once, briefly
                    fill(address, timeout=min(timeout, 10.0), retries=1)
            except (Unreachable, DamagedFile) as error:
                failures.append(error)
                download.empty(part)
                continue
            os.chmod(part, 0o644)  # a temporary file is private, a cache need not be
            os.replace(part, path)
            return path
        kind = DamagedFile if isinstance(failures[-1], DamagedFile) else Unreachable
        reasons = "; ".join(dict.fromkeys(map(str, failures)))
        raise kind(
            f"BrainWeb subject {subject} cannot be downloaded: {reasons}. "
            "Without network use load_subject('mni:0'), the embedded brain"
        )
    finally:
        if os.path.exists(part):
            os.remove(part)


def _look(chunk):
    """Refuse what does not even begin like a gzip file."""
    if chunk[:1] != b"\x1f":
        page = chunk.lstrip()[:1] == b"<"
        raise DamagedFile(f"expected a gzip file, got {'a web page' if page else 'something else'}")
