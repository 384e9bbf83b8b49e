"""What a search from Python returns."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .own_packages import own_packages

if TYPE_CHECKING:
    import pandas as pd

BATCH = 64


@dataclass(frozen=True)
class Result:
    """What a search has found.

    Attributes:
        best: folder of the best model, which ``transformers`` loads.
        run_dir: everything else of the search.
    """

    best: Path
    run_dir: Path

    @property
    def report(self) -> Path:
        """The report, a page for a browser."""
        return self.run_dir / "report.html"

    @cached_property
    def trials(self) -> "pd.DataFrame":
        """Every finished trial, the best score first: its name, score, objectives, origin and architecture."""
        import pandas as pd

        with own_packages():
            from search.candidate import describe
            from search.records.run_directory import RunDirectory

            levels = {f"L{number}-": level for number, level in enumerate(sorted(self.run_dir.glob("level-*")), 1)}
            rows = [
                {
                    "trial": f"{of_level}{record.trial}",
                    "score": record.score,
                    **record.objectives,
                    "origin": str(record.candidate.origin),
                    "architecture": describe(record.candidate),
                }
                for of_level, level in (levels or {"": self.run_dir}).items()
                for record in RunDirectory(level).journal.trials().values()
                if record.score is not None
            ]
        return pd.DataFrame(rows).sort_values("score", ascending=False, kind="stable", ignore_index=True)

    @property
    def front(self) -> "pd.DataFrame":
        """The trials that no other beats in both score and time of a forward pass."""
        table = self.trials
        fastest_so_far = table["latency_ms"].cummin().shift(fill_value=float("inf"))
        return table[table["latency_ms"] < fastest_so_far].reset_index(drop=True)

    def predict(self, texts: Sequence[str | tuple[str, str]]) -> list[Any]:
        """What the best model says of each text, or pair of texts: its label; a list of labels where a text may have
        several; a number where the task is to estimate one.

        Raises:
            ValueError: for a single text in place of several, or a model that does not classify whole texts.
        """
        if isinstance(texts, str):
            raise ValueError(f"'texts' must be a list of texts. Got one text; write [{texts[:20]!r}]")
        with own_packages():
            import torch

            tokenizer, model, padding = self._model
            answers: list[Any] = []
            for start in range(0, len(texts), BATCH):
                inputs = tokenizer(list(texts[start : start + BATCH]), truncation=True, return_tensors="pt", **padding)
                with torch.inference_mode():
                    answers += self._said(model(**inputs).logits)
        return answers

    @cached_property
    def _model(self) -> tuple[Any, Any, dict[str, Any]]:
        """Tokenizer, model, and how texts are padded and cut: as in training."""
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        import flexibert  # noqa: F401  (makes its models known)
        from design_space.files import read_json
        from search.records.run_directory import RunDirectory

        config = read_json(self.best / "config.json") if (self.best / "config.json").exists() else {}
        kinds = ", ".join(config.get("architectures") or ["none"])
        if "ForSequenceClassification" not in kinds:
            raise ValueError(f"'predict' needs a model that classifies texts. {self.best} holds {kinds}")
        length = RunDirectory(self.run_dir).saved_config()["max_length"]
        model = AutoModelForSequenceClassification.from_pretrained(self.best).eval()
        is_fixed = model.config.model_spec.depends_on_length
        tokenizer = AutoTokenizer.from_pretrained(self.best)
        return tokenizer, model, {"max_length": length, "padding": "max_length" if is_fixed else True}

    def _said(self, logits: Any) -> list[Any]:
        config = self._model[1].config
        if config.num_labels == 1:
            return logits[:, 0].tolist()
        if config.problem_type == "multi_label_classification":
            return [[config.id2label[i] for i, logit in enumerate(row) if logit > 0] for row in logits.tolist()]
        return [config.id2label[number] for number in logits.argmax(-1).tolist()]
