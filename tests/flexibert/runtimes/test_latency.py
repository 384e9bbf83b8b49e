"""Times of one model by what runs it."""

from collections.abc import Callable

import pytest

from flexibert import FlexiBERTForSequenceClassification, FlexiBERTModel, fit_latency_model, measure_in_turn
from flexibert.runtimes import onnx_file

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
LAYERS = {"l": 1, "o": ["sa"], "h": [16], "n": [2], "f": [[32]], "p": ["sdp"]}


@pytest.mark.parametrize("runtime", ["onnx", "onnx-int8"])
def test_a_condition_says_what_ran_the_models(runtime: str, tiny: Callable) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra 'export'")
    models = [FlexiBERTForSequenceClassification(tiny(LAYERS)), FlexiBERTModel(tiny(LAYERS)).train()]
    times = measure_in_turn(models, batch_size=1, length=8, threads=1, repeats=3, runtime=runtime)
    assert [time.runtime for time in times] == [runtime] * 2
    assert all(0 < time.low_ms <= time.median_ms <= time.high_ms for time in times)
    assert f"1 x 8 tokens on cpu in {runtime} with 1 thread(s)" in str(times[0])
    assert [model.training for model in models] == [True, True]
    model = fit_latency_model([one.config.model_spec for one in models], [time.median_ms for time in times], length=8)
    assert model([models[0].config.model_spec])[0] > 0


def test_runtimes_that_are_unknown_or_not_there_are_refused(tiny: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
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
