"""Runs pip as if on another machine: ``python pip_for_target.py MARKERS install ...``, MARKERS being JSON.

With ``--platform`` pip chooses the wheels of another machine, but still asks the one that it runs on whether a
requirement such as ``colorama; sys_platform == 'win32'`` counts. Here it gets the other machine's answers. The
resolving stays pip's own.
"""

import json
import runpy
import sys


def main():
    """Take the markers off the command line, hand the rest to pip."""
    from pip._vendor.packaging import markers

    wanted = json.loads(sys.argv[1])
    here = markers.default_environment
    markers.default_environment = lambda: {**here(), **wanted}
    if not all(markers.Marker(f"{name} == {value!r}").evaluate() for name, value in wanted.items()):
        sys.exit("ERROR: this pip cannot be told about another machine; update it: pip install --upgrade pip")
    sys.argv = ["pip", *sys.argv[2:]]
    runpy.run_module("pip", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
