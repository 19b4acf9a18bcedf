#!/usr/bin/env bash
# All that needs a GPU in one call, from the repository's root: the tests marked gpu, then the benchmark's tables.
# on_gpu.sh [FILE.json]: keeps all numbers there, those of the networks in FILE_networks.json. The tests' exit code comes back, or the benchmark's.
# STUDY=FOLDER on_gpu.sh: nothing but DIPRecon's study in a volume of the large scanner, kept and gone on with in FOLDER.
set -uo pipefail
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 XLA_FLAGS="${XLA_FLAGS:-}" # times are those of optimised code
# Keras is not everywhere where a GPU is: wheels beside this script are used where there are any, in a folder of their own
if [ -d tests/benchmarks/wheels ] && ! python3 -c "import keras" 2>/dev/null; then
  python3 -m pip install -q --no-index --find-links tests/benchmarks/wheels --target "${TMPDIR:-/tmp}/keras" keras &&
    export PYTHONPATH="$PYTHONPATH:${TMPDIR:-/tmp}/keras"
fi
if [ -n "${STUDY:-}" ]; then # by itself: a run may have a limit of ten minutes, and nobody knows what this takes
  KERAS_BACKEND="${KERAS_BACKEND:-torch}" exec python3 -m pettutor.cli study tests/benchmarks/three_dimensions_mmr.yaml \
    --out "$STUDY" --workers 0
fi
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || true
python3 -m pytest -q -m gpu -o addopts= -o timeout=0 -p no:cacheprovider tests/test_cuda.py tests/test_reconstruction_gpu.py tests/test_measures.py
tests=$?
if python3 -c "import typer" 2>/dev/null; then
  python3 -m pettutor.cli bench --size mini --size mmr --device cuda --repeats 5 \
    --only projection --only mlem --only listmode --only methods ${1:+--out "$1"} || exit 1
else
  python3 tests/benchmarks/projection.py mini mmr --device cuda --repeats 5 || exit 1
fi
backends="torch jax"
if python3 -c "import tensorflow" 2>/dev/null; then
  backends="$backends tensorflow"
else
  echo "networks on TensorFlow: not tested, TensorFlow cannot be imported here"
fi
for backend in $backends; do
  KERAS_BACKEND=$backend python3 -m pytest -q -m gpu -o addopts= -o timeout=0 -p no:cacheprovider tests/test_networks_gpu.py || tests=$?
done
KERAS_BACKEND=torch python3 - "${1:+${1%.json}_networks.json}" <<'PYTHON' || exit 1
import sys

from pettutor.bench import Plan, as_text, run_bench

plan = Plan(sizes=("mini", "mmr"), models="joseph", device="cuda", repeats=5, parts="networks")
print(as_text(run_bench(plan, out=sys.argv[1] or None)))
PYTHON
exit $tests
