"""States of a network on texts that it makes up: what its spaces hold, known without data.

Where the model predicts tokens, random tokens are replaced by its own predictions for them (a round of Gibbs sampling,
Wang and Cho 2019); other models see random tokens.
"""

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

NUM_TEXTS, MOST_TOKENS, NUM_ROUNDS = 64, 32, 2


class SampledStates:
    """States of every space of a model; it runs when they are first asked for, and is left as it was."""

    def __init__(self, model: Any, seed: int) -> None:
        self.model, self.seed = model, seed

    def residual(self, first: int) -> Tensor:
        """The residual stream from layer ``first`` to the end of its stretch of equally wide layers: (N, H)."""
        spec = self.model.config.model_spec
        width, found = spec.layers[first].hidden_size, []
        if first == 0:
            is_projected = self.model.base_model.embeddings.projection is not None
            found.append(self._recorded["embeddings.projection" if is_projected else "embeddings.LayerNorm"])
        for index in range(first, len(spec.layers)):
            if spec.layers[index].hidden_size != width:
                break
            found += [
                self._recorded[f"encoder.layer.{index}.{part}.LayerNorm"] for part in ("attention.output", "output")
            ]
        return torch.cat(found).double()

    def feed_forward(self, layer: int, level: int) -> Tensor:
        """What the neurons of a level of a feed-forward stack give: (N, F)."""
        return self._recorded[f"encoder.layer.{layer}.intermediate.sequential.{2 * level + 1}"].double()

    def transform(self) -> Tensor:
        """What the activation in the masked-LM head gives: (N, H)."""
        return self._recorded["cls.predictions.transform.activation"].double()

    def pooled(self) -> Tensor:
        """What the pooler gives, for each token: (N, H)."""
        last = len(self.model.config.model_spec.layers) - 1
        states = self._recorded[f"encoder.layer.{last}.output.LayerNorm"].double()
        dense = self.model.base_model.pooler.dense
        return torch.tanh(states @ dense.weight.detach().cpu().double().T + dense.bias.detach().cpu().double())

    @cached_property
    def _recorded(self) -> dict[str, Tensor]:
        """Module -> what it gave, (tokens, width), on the CPU."""
        base, config = self.model.base_model, self.model.config
        recorded: dict[str, Tensor] = {}
        handles = [
            module.register_forward_hook(_recorder(recorded, name.removeprefix("bert.")))
            for name, module in self.model.named_modules()
            if name.endswith(("LayerNorm", ".activation", ".projection")) or ".intermediate.sequential." in name
        ]
        was_training = self.model.training
        generator = torch.Generator().manual_seed(self.seed)
        shape = NUM_TEXTS, min(MOST_TOKENS, config.max_position_embeddings)
        ids = torch.randint(config.vocab_size, shape, generator=generator)
        self.model.eval()
        try:
            with torch.no_grad():
                for number in range(NUM_ROUNDS):
                    output = self.model(ids.to(base.device))
                    scores = getattr(output, "logits", None)
                    if scores is None or scores.shape != (*shape, config.vocab_size) or number == NUM_ROUNDS - 1:
                        break
                    chances = torch.softmax(scores.float().cpu(), dim=-1).flatten(0, 1)
                    ids = torch.multinomial(chances, 1, generator=generator).view(shape)
        finally:
            self.model.train(was_training)
            for handle in handles:
                handle.remove()
        return recorded


def _recorder(recorded: dict[str, Tensor], name: str) -> Any:
    def record(module: Any, inputs: Any, output: Tensor) -> None:
        recorded[name] = output.detach().flatten(0, -2).cpu().float()

    return record
