"""Fitting a network to one image or one scan: gradients for scipy, optimisers, the alternating direction method."""
