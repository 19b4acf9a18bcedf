"""What the scripts for data sets on Zenodo share: sizes told before, resumable, checked, safe to run again.

Sizes, checksums and licence are those of Zenodo's own record, read before anything else and kept beside the files.
"""

import argparse
import hashlib
import json
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

from pettutor.download import Unreachable, fill, read_json
from pettutor.files import whole_file

SERVER = "https://zenodo.org"


class WrongFile(ValueError):
    """A file that is not what the record says."""


@dataclass(frozen=True)
class Part:
    """Files of one Zenodo record.

    record : its number.
    what : what it is, in a line.
    files : name -> md5 that is known from elsewhere, or None: then the record's own is all there is.
    """

    record: int
    what: str
    files: dict


@dataclass(frozen=True)
class DataSet:
    """A data set of one or more parts, with what to cite beside the records themselves."""

    name: str
    what: str
    parts: dict
    cite: tuple = ()
    notes: tuple = field(default=())


@dataclass(frozen=True)
class File:
    """A file as the record describes it: size in bytes, md5, address."""

    name: str
    size: int
    md5: str
    address: str


def read_record(part, folder, server):
    """Read the record: from the network, or where that fails as an earlier run kept it.

    Returns
    -------
    words : dict
        As Zenodo gives it.
    files : list of File

    Raises
    ------
    Unreachable
        No network, and no earlier run.
    ValueError
        A record that lacks a file, or says another checksum than is known.
    """
    kept = folder / f"zenodo-{part.record}.json"
    try:
        words = read_json(f"{server}/api/records/{part.record}")
    except Unreachable as error:
        if not kept.exists():
            raise Unreachable(f"{error}. Sizes and checksums stand in Zenodo's record {part.record}: a network is "
                              "needed") from error  # fmt: skip
        words = json.loads(kept.read_text(encoding="utf-8"))
    try:
        found = {
            file["key"]: File(file["key"], int(file["size"]), file["checksum"].removeprefix("md5:"),
                              file["links"]["self"])
            for file in words["files"]
        }  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"record {part.record}: expected files with size and checksum, got none ({error})") from None
    for name, known in part.files.items():
        if name not in found:
            raise ValueError(f"record {part.record}: expected the file {name}, got {', '.join(found) or 'none'}")
        if known not in (None, found[name].md5):
            raise ValueError(f"{name}: expected md5 {known}, got {found[name].md5} in record {part.record}")
    return words, [found[name] for name in part.files]


def describe(words):
    """Licence and citation of a record, in words."""
    about = words.get("metadata", {})
    licence = about.get("license", {})
    licence = licence.get("id", "") if isinstance(licence, dict) else str(licence)
    authors = "; ".join(person.get("name", "") for person in about.get("creators", []))
    year = str(about.get("publication_date", ""))[:4]
    doi = words.get("doi") or about.get("doi", "")
    citation = ", ".join(text for text in (authors, about.get("title", ""), "Zenodo", year) if text)
    return licence or "not named in the record: ask its authors", f"{citation}. https://doi.org/{doi}"


def check_file(path, file):
    """Raise `WrongFile` unless a file has the size and the md5 that the record says."""
    size = path.stat().st_size
    if size != file.size:
        raise WrongFile(f"expected {file.size:,} bytes, got {size:,}")
    with open(path, "rb") as opened:
        md5 = hashlib.file_digest(opened, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if md5 != file.md5:
        raise WrongFile(f"expected md5 {file.md5}, got {md5}")


def state(path, file):
    """ "whole", "missing", "begun" or what is wrong with a file."""
    if path.exists():
        try:
            check_file(path, file)
        except WrongFile as error:
            return f"damaged ({error})"
        return "whole"
    begun = part_of(path)
    return f"begun, {begun.stat().st_size / 1e6:,.0f} MB are there" if begun.exists() else "missing"


def part_of(path):
    """Where a file waits until it is whole."""
    return path.with_name(f"{path.name}.part")


def fetch(file, folder, *, progress=True, pause=1.0):
    """Download a file; what an earlier run began goes on. Only a whole, checked one takes its name."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file.name
    part = part_of(path)
    part.touch()
    fill(file.address, part, name=file.name, check=lambda begun: check_file(begun, file), refusal=WrongFile,
         size=file.size, title=file.name, progress=progress, pause=pause)  # fmt: skip
    part.replace(path)
    return path


def _parser(data):
    parser = argparse.ArgumentParser(description=data.what)
    parser.add_argument("--folder", type=Path, default=Path("pettutor-data") / data.name, help="(%(default)s)")
    if len(data.parts) > 1:
        parser.add_argument("--parts", nargs="+", choices=tuple(data.parts), default=[next(iter(data.parts))],
                            help="(%(default)s)")  # fmt: skip
    parser.add_argument("--server", default=SERVER, help="Zenodo, or a mirror of it (%(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    return parser


def _free(folder):
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def main(data, arguments=None):
    """Fetch a data set; gives the exit code: 0 all there, 1 something could not be fetched, 130 after Ctrl-C."""
    options = _parser(data).parse_args(arguments)
    script, folder = f"fetch_{data.name}", options.folder.expanduser().absolute()
    chosen = [data.parts[name] for name in getattr(options, "parts", data.parts)]
    try:
        return _run(data, chosen, folder, options)
    except KeyboardInterrupt:
        print(f"{script}: stopped; run the same command again to go on", file=sys.stderr)
        return 130
    except (OSError, ValueError) as error:
        print(f"{script}: {error}", file=sys.stderr)
        return 1


def _run(data, chosen, folder, options):
    records = [(part, *read_record(part, folder, options.server.rstrip("/"))) for part in chosen]
    states = {file: state(folder / file.name, file) for _, _, files in records for file in files}
    todo = [file for file, found in states.items() if found != "whole"]
    begun = sum(part.stat().st_size for file in todo if (part := part_of(folder / file.name)).exists())
    need, free = sum(file.size for file in todo) - begun, _free(folder)
    print(f"data      {data.what}")
    print(f"folder    {folder}")
    for part, words, files in records:
        licence, citation = describe(words)
        print(f"record    {options.server}/records/{part.record}: {part.what}")
        for file in files:
            print(f"          {file.name}, {file.size / 1e6:,.0f} MB: {states[file]}")
        print(f"licence   {licence}")
        print(f"cite      {citation}")
    for line in data.cite:
        print(f"cite      {line}")
    for line in data.notes:
        print(f"note      {line}")
    print(f"size      {need / 1e6:,.0f} MB to download ({free / 1e9:.1f} GB free)")
    if options.dry_run:
        return 0
    if need > free:
        raise OSError(f"expected {need / 1e6:,.0f} MB of free disk, got {free / 1e6:,.0f} MB")
    folder.mkdir(parents=True, exist_ok=True)
    for part, words, _ in records:
        with whole_file(folder / f"zenodo-{part.record}.json") as kept:
            kept.write(json.dumps(words, indent=1).encode())
    for file in todo:
        print(f"fetched   {fetch(file, folder)}")
    return 0
