"""Transfer of weights between architectures: plans, maps, alignment of layers."""
