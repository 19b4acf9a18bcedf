"""Projector and reconstruction steps as Keras layers, and the bridge between arrays and tensors that they cross."""
