"""Stopping a deep image prior before it learns the noise: the variance of the last images."""

from collections import deque

import numpy as np

from pettutor.networks.fitting.optimisers import check_count


class WindowedVariance:
    """Stop when the variance of the last images has not become smaller for a while.

    ``V(k) = 1/W Σ_{i=k-W+1…k} |x_i - x̄|²``, with x̄ the mean of these W images. A network first learns the picture,
    and V falls; when it begins to learn the noise, V rises again. The image at the smallest V is the result.

    Parameters
    ----------
    window : int
        W, images. All are kept in memory.
    patience : int
        Iterations without a smaller V after which to stop.

    Attributes
    ----------
    variance : list of float
        V of every iteration, relative to the energy ``|x_k|²``; NaN until the window is full.
    best, best_iteration : the image at the smallest V (None before) and its iteration, counted from 1.

    References
    ----------
    H. Wang et al., Early Stopping for Deep Image Prior, arXiv:2112.06074. Window and patience are in iterations of
    another optimiser there (100 and 1000 steps of Adam); that V is relative is this library's choice.
    """

    def __init__(self, window=10, patience=20):
        self.window, self.patience = check_count(window, "window", 2), check_count(patience, "patience")
        self.variance, self.best, self.best_iteration = [], None, 0
        self._images = deque(maxlen=self.window)

    def __call__(self, image):
        """Take the image of one more iteration; True when it is time to stop."""
        image = np.array(image, np.float32)
        self._images.append(image)
        energy = float(np.square(image, dtype=np.float64).sum())
        if len(self._images) < self.window or energy == 0:
            self.variance.append(float("nan"))
            return False
        mean = sum(self._images) / np.float32(self.window)
        spread = sum(float(np.square(i - mean, dtype=np.float64).sum()) for i in self._images) / self.window
        variance = spread / energy
        if self.best is None or variance < np.nanmin(self.variance):
            self.best, self.best_iteration = image, len(self.variance) + 1
        self.variance.append(variance)
        return len(self.variance) - self.best_iteration >= self.patience

    def state(self):
        """Everything that changes, as a dict of arrays; `restore` takes it back."""
        found = {"variance": np.array(self.variance), "best_iteration": np.array(self.best_iteration)}
        if self._images:
            found["images"] = np.stack(self._images)
        if self.best is not None:
            found["best"] = self.best
        return found

    def restore(self, state):
        """Take over what `state` gave."""
        self.variance = list(map(float, state["variance"]))
        self.best, self.best_iteration = state.get("best"), int(state["best_iteration"])
        self._images = deque(state.get("images", ()), maxlen=self.window)
