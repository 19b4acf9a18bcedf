"""Files that are there whole or not at all, and files that have to be there."""

import contextlib
import os
from pathlib import Path


@contextlib.contextmanager
def whole_file(path):
    """Open a binary file to write that takes its name when the block ends; after an error or Ctrl-C nothing is left.

    A file of that name is replaced. It is written aside in the same folder and flushed to the disk first.

    Raises
    ------
    FileNotFoundError
        There is no such folder.
    """
    path = Path(path)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(aside, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def existing_file(path, what):
    """A file that is to be read, as a ``pathlib.Path``; ``what`` says in messages what it should be.

    Raises
    ------
    FileNotFoundError, IsADirectoryError
        There is no such file, or a folder of that name.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise IsADirectoryError(f"{path}: expected {what}, got a folder")
    if not path.exists():
        raise FileNotFoundError(f"{path}: expected {what}, got no such file")
    return path
