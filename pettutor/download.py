"""Downloads that can be resumed: a part of a file grows until it is whole and has passed its check."""

import http.client
import os
import socket
import time
import urllib.error
import urllib.parse
import urllib.request

TIMEOUT = 30.0  # seconds without a byte before a connection is given up


class Unreachable(OSError):
    """The server cannot be reached, or does not serve the file."""


class _CutShort(Exception):
    pass


def fill(address, part, *, name, check, refusal, look=None, size=None, largest=None, title="", progress=True,
         timeout=TIMEOUT, retries=3, pause=1.0):  # fmt: skip
    """Download what a file still lacks, and check it.

    Parameters
    ----------
    address : str
    part : path
        A file that is there, empty or begun by an earlier call: it is resumed where the server allows that.
    name : str
        Of what is downloaded, for messages.
    check : callable(part)
        Raises ``refusal`` unless the file is what it should be.
    refusal : type
        The kind of error that ``check`` and ``look`` raise.
    look : callable(bytes), optional
        Raises ``refusal`` where the first bytes show that this is another file.
    size : int, optional
        Bytes of the whole file, where they are known.
    largest : int, optional
        Bytes at most.
    title : str
        In front of the progress bar.
    progress : bool
    timeout : float
        Seconds without a byte before a connection is given up.
    retries : int
        Attempts. With ``size`` an attempt that brought more of the file does not count.
    pause : float
        Seconds before the second attempt, doubled each time.

    Raises
    ------
    Unreachable
        Offline, an HTTP error, a transfer that was cut; the part stays.
    refusal
        What came is not the file; the part is empty again.
    OSError
        No room or permission on the disk; the part stays.
    """
    host = urllib.parse.urlparse(address).netloc
    attempt, last = 0, None
    while attempt < retries:
        if attempt:
            time.sleep(pause * 2 ** (attempt - 1))
        before = os.path.getsize(part)
        try:
            if size is None or before != size:
                _transfer(address, part, look, size or largest, title, progress, timeout, refusal)
            check(part)
            return
        except urllib.error.HTTPError as error:
            last = Unreachable(f"{host} answered {error.code} {error.reason}")
            if error.code == 416:  # the rest that we asked for is not there: begin again
                empty(part)
            elif error.code < 500 and error.code not in (408, 429):
                raise last from error
        except _CutShort as error:
            last = Unreachable(f"{host}: {error}")
        except refusal as error:
            last = refusal(f"{host} sent a file for {name} that is refused: {error}")
            empty(part)
        except (OSError, http.client.HTTPException) as error:
            last = _network_error(error, host)
            if isinstance(getattr(error, "reason", None), socket.gaierror):
                break  # no such name: offline, waiting would not help
        attempt = 1 if size and os.path.getsize(part) > before else attempt + 1
    raise last


def read_json(address, *, timeout=TIMEOUT):
    """Read a small JSON document from the network.

    Raises
    ------
    Unreachable
        Offline, an HTTP error, or another document.
    """
    import json

    host = urllib.parse.urlparse(address).netloc
    request = urllib.request.Request(address, headers={"Accept": "application/json", "User-Agent": "pettutor"})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as reply:
            return json.loads(reply.read())
    except urllib.error.HTTPError as error:
        raise Unreachable(f"{host} answered {error.code} {error.reason}") from error
    except ValueError as error:
        raise Unreachable(f"{host}: expected a JSON document, got something else") from error
    except (OSError, http.client.HTTPException) as error:
        raise _network_error(error, host) from error


def empty(part):
    """Make a file empty."""
    with open(part, "wb"):
        pass


def _network_error(error, host):
    """An error of the network as Unreachable; one of the disk is raised again."""
    if not isinstance(error, (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException)):
        raise error
    reason = getattr(error, "reason", None) or error
    return Unreachable(f"{host}: {str(reason) or type(reason).__name__}")


def _transfer(address, part, look, largest, title, progress, timeout, refusal):
    """Append to ``part`` what is missing (or all, where the server cannot resume)."""
    from tqdm.auto import tqdm

    have = os.path.getsize(part)
    request = urllib.request.Request(address, headers={"Accept-Encoding": "identity", "User-Agent": "pettutor"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with urllib.request.urlopen(request, timeout=timeout) as reply:
        resumed = reply.status == 206 and reply.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if reply.status not in (200, 206) or (reply.status == 206 and not resumed):
            raise _CutShort(f"expected the file, got status {reply.status}")
        have = have if resumed else 0
        length = reply.headers.get("Content-Length")
        total = have + int(length) if length and length.isdigit() else None
        with (
            open(part, "r+b") as file,
            tqdm(total=total, initial=have, desc=title, unit="B", unit_scale=True, disable=not progress) as bar,
        ):
            file.seek(have)
            file.truncate()
            while chunk := reply.read1(1 << 16):
                if have == 0 and look is not None:
                    look(chunk)
                file.write(chunk)
                have += len(chunk)
                bar.update(len(chunk))
                if largest is not None and have > largest:
                    raise refusal(f"expected at most {largest:,} bytes, got more")
        if total is not None and have != total:
            raise _CutShort(f"transfer cut short ({have:,} of {total:,} bytes)")
