"""What the builders share: layers that Keras has not, and networks of a given size."""
