"""The code of README.md runs as it stands there, one block after the other."""

import re
from pathlib import Path

from backends import needs_keras

import pettutor as pt

README = Path(__file__).parents[1] / "README.md"


@needs_keras
def test_its_blocks_run_one_after_the_other():
    """On the small scanner; that scanner and network are of one size is looked at in the text itself."""
    code = "\n".join(re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.S))
    sizes = re.findall(r'preset\("(\w+)"\)|size="(\w+)"', code)
    assert len(sizes) == 2 and len({size for pair in sizes for size in pair if size}) == 1, sizes
    names = {}
    exec(code.replace("mini", "slab"), names)
    truth, head = names["truth"].pet, names["truth"].regions["head"]
    error = {name: pt.measures.nrmse(names[name], truth, normaliser="rms", mask=head) for name in ("start", "x")}
    assert error["x"] < 0.9 * error["start"]
