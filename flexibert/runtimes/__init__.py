"""What runs a model: PyTorch, or ONNX Runtime, in float or in whole numbers of 8 bits; and how long that takes."""
