"""The MAP-EM step as one would write it first, with sinograms as tensors: for comparison, see `graph_memory`."""

from pettutor.arrays import to_numpy
from pettutor.networks.physics.layers import BackProjection, ForwardProjection, MAPEMStep, ops


class MAPEMStepInGraph(MAPEMStep):
    """`MAPEMStep` out of a forward projection, a division and a back projection, each differentiated by itself.

    For one scan and batches of one. It gives what `MAPEMStep` gives; its sinograms become part of the graph.
    """

    def __init__(self, scans, scale=1.0, **settings):
        super().__init__(scans, scale, **settings)
        y, A, r, s, mean = scans[0]
        self._forward, self._back = ForwardProjection(A), BackProjection(A)
        self._s, self._mean = to_numpy(s)[None, ..., None], mean
        self._y, self._r = to_numpy(y)[None], to_numpy(r)[None] if getattr(r, "shape", ()) else float(r)

    def build(self, image_shape):
        """Nothing to make. Without it Keras, which sees two layers inside, calls this one with an image of its own."""

    def em_image(self, image, scan, training):
        volume = (1, *self._s.shape[1:])
        x = ops.reshape(image, volume)
        # PyTorch wants to be asked itself, where NumPy's arrays stand first
        expected = ops.add(self._forward(x * self.scale), self._r)  # ȳ = A x + r
        ratio = ops.divide(self._y, ops.where(expected > 0, expected, 1))
        seen = self._s > 0
        em_ratio = ops.where(seen, self._back(ratio) / ops.where(seen, self._s, 1), 0)
        s = ops.broadcast_to(ops.convert_to_tensor(self._s / self._mean, dtype=self.variable_dtype), volume)
        return ops.reshape(x * em_ratio, ops.shape(image)), ops.reshape(s, ops.shape(image))
