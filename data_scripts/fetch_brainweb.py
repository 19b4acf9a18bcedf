#!/usr/bin/env python3
"""Fetch BrainWeb subjects ahead of a class: sizes told before, checked on arrival, safe to run again.

python data_scripts/fetch_brainweb.py --subjects 04 05
python data_scripts/fetch_brainweb.py --subjects all --dry-run
"""

import argparse
import shutil
import sys

from pettutor.phantoms.brainweb import (
    CACHE_VARIABLE,
    CITATION,
    SUBJECTS,
    DamagedFile,
    cache_folder,
    check_subject,
    file_name,
    read_labels,
)
from pettutor.phantoms.download import FILE_BYTES, LICENCE, addresses, fetch_brainweb


def _parser():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--subjects",
        nargs="+",
        default=["04"],
        metavar="NN",
        help=f"'all' or some of {' '.join(SUBJECTS)} (default 04)",
    )
    parser.add_argument("--cache", help=f"folder (default: ${CACHE_VARIABLE}, else ~/.brainweb)")
    parser.add_argument("--base-url", help="a mirror that serves subject_NN.bin.gz")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    return parser


def _state(path, subject):
    """ "missing", "whole" or what is wrong with a file."""
    if not path.exists():
        return "missing"
    try:
        read_labels(path, subject)
    except DamagedFile as error:
        return f"damaged ({error})"
    return "whole"


def _nearest_folder(folder):
    while not folder.exists():
        folder = folder.parent
    return folder


def main(arguments=None):
    """Run the script; returns the exit code: 0 all there, 1 some could not be fetched, 2 a bad argument."""
    options = _parser().parse_args(arguments)
    try:
        wanted = SUBJECTS if options.subjects == ["all"] else tuple(check_subject(s) for s in options.subjects)
    except ValueError as error:
        print(f"fetch_brainweb: {error}", file=sys.stderr)
        return 2
    folder = cache_folder(options.cache)
    states = {s: _state(folder / file_name(s), s) for s in dict.fromkeys(wanted)}
    missing = [s for s, state in states.items() if state != "whole"]
    need, free = len(missing) * FILE_BYTES, shutil.disk_usage(_nearest_folder(folder)).free
    print(f"cache     {folder}")
    print(f"there     {len(states) - len(missing)} of {len(states)} subjects, checked")
    for s in missing:
        print(f"to fetch  {file_name(s)}: {states[s]}")
    print(f"size      about {need / 1e6:.0f} MB to download ({free / 1e9:.1f} GB free)")
    print(f"licence   {LICENCE}")
    print(f"cite      {CITATION}")
    if options.dry_run:
        for s in missing:
            print(f"from      {addresses(s, options.base_url)[0]}")
        return 0
    if need > free:
        print(f"fetch_brainweb: expected {need / 1e6:.0f} MB of free disk, got {free / 1e6:.0f} MB", file=sys.stderr)
        return 1
    failed = 0
    for s in missing:
        try:
            print(f"fetched   {fetch_brainweb(s, cache=options.cache, base_url=options.base_url, force=True)}")
        except KeyboardInterrupt:
            print("stopped; run the same command again to go on", file=sys.stderr)
            return 130
        except (OSError, ValueError) as error:
            failed += 1
            print(f"fetch_brainweb: {error}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
