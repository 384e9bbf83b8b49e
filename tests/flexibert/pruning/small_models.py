"""Small models of every family, with weights large enough that pruning changes outputs, and noisy scores."""

import torch
from transformers import BertConfig, BertForSequenceClassification, DeiTConfig, DeiTForImageClassification

from flexibert import FlexiBERTConfig, FlexiBERTForSequenceClassification

MODEL_DICTS = {
    "mixed": {
        "l": 2,
        "o": ["sa", "c"],
        "h": [64, 64],
        "n": [4, 4],
        "f": [[128], [96, 128]],
        "p": ["wma", 5],
    },
    "wma": {"l": 2, "o": ["sa", "sa"], "h": [64, 32], "n": [4, 2], "f": [[128, 64], [64]], "p": ["wma", "sdp"]},
    "transform": {"l": 2, "o": ["l", "sa"], "h": [64, 64], "n": [4, 4], "f": [[64], [64]], "p": ["dft", "sdp"]},
    "hetero": {
        "l": 2,
        "o": [["sa_sdp_16", "c_5_16", "sa_wma_16", "c_3_16", "l_dft_16"], ["sa_wma_16", "c_5_16", "sa_wma_16"]],
        "h": [64, 64],
        "f": [[64, 96], [64]],
    },
    "deep hetero": {
        "l": 3,
        "o": [
            ["sa_sdp_16", "c_5_16", "sa_sdp_16", "l_dft_16"],
            ["sa_sdp_16", "sa_wma_16", "sa_sdp_16"],
            ["sa_wma_16", "sa_wma_16"],
        ],
        "h": [64, 64, 64],
        "f": [[64], [64], [96]],
    },
    "narrowing": {"l": 3, "o": ["sa"] * 3, "h": [64, 64, 32], "n": [4, 4, 2], "f": [[128, 64]] * 3, "p": ["sdp"] * 3},
}


def flexibert(name="wma", **options):
    torch.manual_seed(0)
    config = FlexiBERTConfig(
        vocab_size=99,
        max_position_embeddings=40,
        initializer_range=0.2,
        num_labels=2,
        model_dict=MODEL_DICTS[name],
        **options,
    )
    return _with_biases(FlexiBERTForSequenceClassification(config))


def bert(**options):
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 128}
    config = BertConfig(vocab_size=99, max_position_embeddings=40, initializer_range=0.2, **sizes | options)
    return _with_biases(BertForSequenceClassification(config))


def deit(**options):
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    config = DeiTConfig(image_size=32, patch_size=8, initializer_range=0.2, **sizes | options)
    return _with_biases(DeiTForImageClassification(config))


def inputs_of(model, batch=3, length=19, seed=0):
    generator = torch.Generator().manual_seed(seed)
    if model.config.model_type in ("deit", "flexivit"):
        return {"pixel_values": torch.randn(batch, 3, 32, 32, generator=generator)}
    mask = torch.ones(batch, length, dtype=torch.long)
    mask[-1, length // 2 :] = 0
    return {"input_ids": torch.randint(5, 99, (batch, length), generator=generator), "attention_mask": mask}


def add_noise(pruner, seed=3):
    """Normal scores, the same for every run."""
    generator = torch.Generator().manual_seed(seed)
    for scores in pruner.scores:
        if scores.scores is not None:
            with torch.no_grad():
                scores.scores.copy_(torch.randn(scores.shape, generator=generator))


def logits(model, **inputs):
    with torch.no_grad():
        return model.eval()(**inputs).logits


def _with_biases(model):
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.3)
            elif "norm" in name.lower():
                parameter.add_(torch.randn(parameter.shape) * 0.1)
    return model
