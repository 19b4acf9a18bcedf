"""Stop in JupyterLab's menu, or a kernel that dies: a lesson goes on with the cells that it names itself."""

import json
import re
import time
from contextlib import contextmanager
from pathlib import Path
from queue import Empty

import nbformat
import pytest
from forked_kernels import start_kernel

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
SECONDS = 120  # for anything; a time-out is a failure


def cells_of(name):
    return [c.source for c in nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells if c.cell_type == "code"]


def only(cells, words):
    """The one cell that holds some words."""
    (found,) = [cell for cell in cells if words in cell]
    return found


class Kernel:
    def __init__(self, manager, client):
        self.manager, self.client = manager, client

    def run(self, code, stop_when=None):
        """Run code, and stop it once ``stop_when(messages)`` holds: (name of an error or None, printed text)."""
        asked = self.client.execute(code)
        messages, stopped, end = [], False, time.monotonic() + SECONDS
        while not (messages and messages[-1]["content"].get("execution_state") == "idle"):
            assert time.monotonic() < end, f"still running after {SECONDS} s:\n{code}"
            try:
                message = self.client.get_iopub_msg(timeout=0.2)
            except Empty:
                pass
            else:
                if message["parent_header"].get("msg_id") == asked:
                    messages.append(message)
            if stop_when and not stopped and stop_when(messages):
                self.manager.interrupt_kernel()
                stopped = True
        assert stopped == bool(stop_when), "it came to its end before it could be stopped"
        errors = [m["content"] for m in messages if m["msg_type"] == "error"]
        said = [m["content"].get("text", "") for m in messages] + [error["evalue"] for error in errors]
        return (errors[0]["ename"] if errors else None), "".join(said)


@contextmanager
def kernel(folder):
    manager, client = start_kernel(folder, SECONDS)
    try:
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setenv("PETTUTOR_SIZE", "slab")


def test_a_stopped_reconstruction_is_done_again_in_the_same_kernel(tmp_path):
    cells = cells_of("05_mlem")
    first = cells[: cells.index(only(cells, "def error")) + 1]
    reconstruct = only(cells, "likelihood rises in every iteration")
    endless = reconstruct.replace("iterations=40", "iterations=10**6", 1)
    with kernel(tmp_path) as running:
        for cell in first:
            assert running.run(cell)[0] is None
        _, said = running.run(endless, lambda messages: sum(m["msg_type"] == "comm_msg" for m in messages) > 20)
        assert re.search("MLEM stopped after .* iterations; this is the last finished image", said)
        assert running.run("assert 2 < len(frames) < 10**6 and np.isfinite(frames[-1]).all()")[0] is None
        error, said = running.run(reconstruct)
        assert error is None and "likelihood rises in every iteration: True" in said


def test_a_stopped_training_goes_on_in_a_new_kernel(tmp_path):
    """With no more than the cells that the lesson names: the two of the workbench, and that of the training."""
    cells = cells_of("11_em_net")
    train = only(cells, "pt.course.training_folder")
    workbench = cells[: cells.index(only(cells, "pt.networks.recipe")) + 2]
    longer = train.replace('"updates": 2', '"updates": 5')
    assert longer != train
    folder = tmp_path / "pettutor-training"

    def histories():
        return [json.loads(path.read_text()) for path in folder.rglob("history.json")]

    with kernel(tmp_path) as running:
        for cell in workbench:
            assert running.run(cell)[0] is None
        assert running.run(longer, lambda messages: bool(histories()))[0] == "KeyboardInterrupt"
        assert running.run("assert mine.built and len(training) == 2")[0] is None
    (before,) = histories()
    with kernel(tmp_path) as running:
        for cell in [*workbench, longer]:
            error, said = running.run(cell)
            assert error is None, said
    (after,) = histories()
    done = len(before["seconds"])
    assert 1 <= done < len(after["seconds"]) == 5
    # the times of the rounds that were done: had it begun anew, they would be others
    assert after["seconds"][:done] == before["seconds"] and after["loss"][:done] == before["loss"]
