"""Kernels for notebooks, forked from a process that has loaded the large libraries.

A kernel of its own takes ten seconds of a core until TensorFlow, SciPy and Matplotlib are there, and lessons are many.
Nothing of pettutor is loaded beforehand, and no library has done anything yet.
"""

import multiprocessing
import os
import sys

import psutil
from jupyter_client.manager import AsyncKernelManager, KernelManager, start_new_kernel
from jupyter_client.provisioning import LocalProvisioner

POSSIBLE = sys.platform == "linux"  # elsewhere libraries may not outlive a fork
LOADED = ("ipykernel.kernelapp", "ipywidgets", "keras", "matplotlib.pyplot", "numba", "scipy.ndimage", "scipy.optimize")


def serve(command, environment, folder):
    """Be the kernel that the command would start."""
    import matplotlib
    from ipykernel.kernelapp import IPKernelApp

    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    # Matplotlib reads it when it is imported, and a kernel sets it before: else no picture comes into the notebook
    matplotlib.rcParams["backend"] = environment.get("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    sys.path.insert(0, "")
    IPKernelApp.launch_instance(argv=command[command.index("-f") :])


class ForkedKernelManager(AsyncKernelManager):
    """For ``NotebookClient(kernel_manager_class=...)``."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.provisioner = _Provisioner(kernel_id=self.kernel_id, kernel_spec=self.kernel_spec, parent=self)


def start_kernel(folder, timeout):
    """A kernel in a folder, forked where that is possible: its manager and a client that it has answered."""
    if not POSSIBLE:
        return start_new_kernel(kernel_name="python3", cwd=str(folder), startup_timeout=timeout)
    manager = KernelManager(kernel_name="python3")
    manager.provisioner = _Provisioner(kernel_id=manager.kernel_id, kernel_spec=manager.kernel_spec, parent=manager)
    manager.start_kernel(cwd=str(folder))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=timeout)
    except RuntimeError:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        raise
    return manager, client


class _Provisioner(LocalProvisioner):
    async def launch_kernel(self, cmd, **settings):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(LOADED))
        self.process = _Process(context.Process(target=serve, args=(cmd, settings["env"], settings["cwd"])))
        self.pid, self.cwd = self.process.pid, settings["cwd"]
        return self.connection_info


class _Process:
    """A `multiprocessing.Process` with the names of a `subprocess.Popen`."""

    stdin = stdout = stderr = None

    def __init__(self, process):
        process.start()
        self.process, self.pid = process, process.pid
        self.terminate, self.kill = process.terminate, process.kill

    def poll(self):
        return self.process.exitcode

    def wait(self):
        self.process.join()
        return self.process.exitcode

    def send_signal(self, number):
        psutil.Process(self.pid).send_signal(number)
