"""Times of one model by what runs it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from flexibert import FlexiBERTForSequenceClassification, FlexiBERTModel, fit_latency_model, measure_in_turn
from flexibert.runtimes import onnx_file
from flexibert.runtimes import runner as runner_module
from flexibert.runtimes.onnx_file import write_onnx
from flexibert.runtimes.onnx_model import OnnxModel

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
LAYERS = {"l": 1, "o": ["sa"], "h": [16], "n": [2], "f": [[32]], "p": ["sdp"]}


@pytest.mark.parametrize("runtime", ["onnx", "onnx-int8"])
def test_a_condition_says_what_ran_the_models(runtime: str, tiny: Callable) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra 'export'")
    models = [FlexiBERTForSequenceClassification(tiny(LAYERS)), FlexiBERTModel(tiny(LAYERS)).train()]
    times = measure_in_turn(models, batch_size=1, length=8, threads=1, repeats=3, runtime=runtime)
    assert [time.runtime for time in times] == [runtime] * 2
    assert all(0 < time.low_ms <= time.median_ms <= time.high_ms for time in times)
    numbers = {"onnx": "", "onnx-int8": " with 8-bit numbers"}[runtime]
    assert f"1 x 8 tokens in ONNX Runtime{numbers} on the CPU with 1 thread" in str(times[0])
    assert [model.training for model in models] == [True, True]
    model = fit_latency_model([one.config.model_spec for one in models], [time.median_ms for time in times], length=8)
    assert model([models[0].config.model_spec])[0] > 0


def test_only_times_of_one_turn_are_compared(tiny: Callable, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra 'export'")
    model = FlexiBERTForSequenceClassification(tiny(LAYERS))
    write_onnx(model, tmp_path / "model.onnx")
    condition: dict[str, int] = {"batch_size": 2, "length": 8, "threads": 1, "repeats": 4}
    in_torch, in_onnx = measure_in_turn([model, OnnxModel(tmp_path / "model.onnx")], **condition)
    assert (in_torch.runtime, in_onnx.runtime) == ("torch", "onnx")
    assert in_onnx.times_as_fast_as(in_torch) == in_torch.median_ms / in_onnx.median_ms
    assert in_torch.low_ms <= in_torch.median_ms <= (in_torch.p95_ms or 0) <= in_torch.high_ms
    assert in_torch.started == in_onnx.started is not None
    (later,) = measure_in_turn([model], **condition | {"length": 9})
    with pytest.raises(
        ValueError, match="Only times that were measured in turn can be compared.*: length 9 and 8; start"
    ):
        later.times_as_fast_as(in_torch)
    old = in_torch._replace(started=None)
    with pytest.raises(ValueError, match="started None and None"):
        old.times_as_fast_as(old)
    with pytest.raises(ValueError, match="'threads' must be those of each ONNX file. Got 1 and 2"):
        measure_in_turn([model, OnnxModel(tmp_path / "model.onnx", threads=2)], **condition)


def test_each_model_is_compiled_and_none_runs_as_it_is(tiny: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine and more of one class, each with weights of other shapes."""
    compiled: list[Any] = []

    def backend(graph: Any, _: Any) -> Any:
        compiled.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    monkeypatch.setattr(runner_module, "_check_compiler", lambda: None)
    models = [FlexiBERTModel(tiny(LAYERS | {"f": [[32 + number]]})) for number in range(10)]
    times = measure_in_turn(models, batch_size=1, length=8, threads=1, repeats=1, runtime="torch-compile")
    assert {time.runtime for time in times} == {"torch-compile"}
    assert len(compiled) == len(models)


def test_no_compiler_is_told(tiny: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Any) -> Any:
        raise RuntimeError("No working C++ compiler found\n\nSet TORCHDYNAMO_VERBOSE=1")

    runner_module._check_compiler.cache_clear()
    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(ValueError, match=r"torch-compile needs a C\+\+ compiler.*No working C\+\+ compiler found$"):
        measure_in_turn([FlexiBERTModel(tiny(LAYERS))], length=8, runtime="torch-compile")


def test_runtimes_that_are_unknown_or_not_there_are_refused(tiny: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra 'export'")
    model = FlexiBERTModel(tiny(LAYERS))
    with pytest.raises(
        ValueError, match="'runtime' must be one of torch, torch-compile, onnx, onnx-int8. Got 'tensorrt'"
    ):
        measure_in_turn([model], length=8, runtime="tensorrt")
    with pytest.raises(ValueError, match="'length' must be at most that of the model's longest sequence, 16. Got 17"):
        measure_in_turn([model], length=17, runtime="onnx")
    monkeypatch.setattr(onnx_file, "PACKAGES", ("no_such_package",))
    with pytest.raises(ValueError, match="no_such_package must be installed"):
        measure_in_turn([model], length=8, runtime="onnx")
