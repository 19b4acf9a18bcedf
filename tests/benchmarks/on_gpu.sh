#!/usr/bin/env bash
# All that needs a GPU in one call, from the repository's root: the tests marked gpu, then the projection benchmark.
set -uo pipefail
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
python3 -m pytest -q -m gpu -o addopts= -o timeout=0 -p no:cacheprovider tests/test_cuda.py
tests=$?
python3 tests/benchmarks/projection.py mini mmr --device cuda --repeats 5 || exit 1
exit $tests
