"""Memory that is freed goes back to the system."""

import os
import subprocess
import sys
import time

import psutil
import pytest

from pettutor import memory

CODE = """
import sys
import psutil
from pettutor.memory import return_freed_memory

if sys.argv[1] == "with":
    assert return_freed_memory()
own = psutil.Process().memory_info
for _ in range(3):
    bytearray(5_000_000)  # freed at once: glibc now takes blocks of this size from its heap
blocks, small = [], []
for _ in range(40):
    blocks.append(bytearray(4_000_000))
    small.append(bytearray(100_000))  # in between, so that the heap cannot shrink
full = own().rss
del blocks
print((full - own().rss) / 160e6)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the setting is one of glibc")
def test_freed_memory_goes_back():
    if not memory.return_freed_memory():
        pytest.skip("the C library is not glibc")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    shares = {}
    for how in ("with", "without"):
        done = subprocess.run([sys.executable, "-c", CODE, how], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        shares[how] = float(done.stdout)
    assert shares["with"] > 0.9 and shares["without"] < 0.5


def test_another_system_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    assert memory.return_freed_memory() is False


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system's own record of a peak is taken")
def test_a_peak_is_that_of_the_process_itself_whatever_its_parent_held():
    code = "from pettutor.memory import peak_memory\nblock = bytearray(150_000_000)\ndel block\nprint(peak_memory())"
    ballast = bytearray(600_000_000)
    ballast[::4096] = b"1" * len(ballast[::4096])  # held, not only promised
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 150e6 < int(done.stdout) < 500e6


def test_memory_is_sampled_while_a_block_runs_and_for_other_processes_too():
    with memory.sampled_memory(0.01) as samples:
        block = bytearray(80_000_000)
        block[::1000] = bytes(len(block[::1000]))  # touched, or it takes no memory
        time.sleep(0.3)
        del block
    assert len(samples) > 5 and max(samples) - samples[0] > 70e6 and max(samples) - samples[-1] > 70e6
    code = "block = b'x' * 60_000_000; input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as other:
        with memory.sampled_memory(0.01, psutil.Process(other.pid)) as samples:
            time.sleep(1.0)
            other.communicate(b"\n")  # it ends, and the block does not
            time.sleep(0.1)
        assert max(samples) > 60e6
