"""What an algorithm tells about its run."""

import time
from dataclasses import dataclass, field


@dataclass
class Record:
    """A growing account of a reconstruction; pass the same one again to continue it.

    log_likelihood : one value an iteration, of the image that *enters* the iteration (it comes for free there), so
        entry 0 belongs to the start image. Constant terms are left out.
    objective : the same with the prior's penalty taken off; empty without a prior.
    seconds : wall time of each iteration.
    iterations : finished iterations.
    coefficients : what a method works on where that is not the image alone, after the last iteration (kernel EM: alpha;
        dictionary MAP: the codes of the patches); None elsewhere.
    """

    log_likelihood: list = field(default_factory=list)
    objective: list = field(default_factory=list)
    seconds: list = field(default_factory=list)
    coefficients: object = None

    @property
    def iterations(self):
        return len(self.seconds)

    def timed(self):
        """Begin an iteration; call the result when it is finished."""
        begin = time.perf_counter()
        return lambda: self.seconds.append(time.perf_counter() - begin)
