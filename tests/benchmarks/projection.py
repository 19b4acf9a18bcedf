"""The projector's benchmark from a checkout: ``python tests/benchmarks/projection.py mini mmr --device cuda``.

The same as ``pettutor bench`` (see there for more choices), without an installation.
"""

import argparse
import sys

from pettutor.bench import Plan, as_text, run_bench

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", nargs="+", choices=["slab", "mini", "mmr"])
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", metavar="FILE.json")
    options = parser.parse_args()
    report = run_bench(Plan(options.sizes, device=options.device, repeats=options.repeats), out=options.out)
    print(as_text(report))
    sys.exit(1 if report["failed"] else 0)
