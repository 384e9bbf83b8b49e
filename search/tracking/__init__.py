"""A run's journal, told to the trackers that people watch: MLflow, TensorBoard, Weights & Biases."""
