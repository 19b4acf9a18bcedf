"""The process that measures one case: the case comes as JSON on stdin, the answer goes as JSON to the end of stdout.

``python -m pettutor.bench.worker``; started by `report.run_bench`, of no use by hand.
"""

import json
import sys
import traceback


def answer(case):
    """What a case gives: ``{"records": …}``, ``{"skipped": reason}`` or ``{"error": one line}``."""
    from pettutor.bench.cases import SkippedError, measure

    try:
        if case["part"] == "machine":
            from pettutor.bench.measuring import copy_bandwidth

            return {"records": [{"copy_bytes_per_second": round(copy_bandwidth(case["device"]))}]}
        return {"records": measure(case)}
    except SkippedError as reason:
        return {"skipped": str(reason)}
    except Exception as error:
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"}


if __name__ == "__main__":
    try:
        result = answer(json.load(sys.stdin))
    except KeyboardInterrupt:
        sys.exit(130)
    print("\n" + json.dumps(result))
