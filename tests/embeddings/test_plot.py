import dataclasses

import matplotlib.image
import pytest

from embeddings.plot import plot_embedding


def test_a_picture_has_a_panel_per_property_and_per_task(tiny_library, tmp_path):
    plot_embedding(tiny_library, tmp_path / "new" / "plain.png")
    scored = {tiny_library.hashes[i]: {"cola": i / 10} for i in range(5)}
    plot_embedding(dataclasses.replace(tiny_library, performances=scored), tmp_path / "scored.png")
    plain, with_scores = (matplotlib.image.imread(tmp_path / name) for name in ("new/plain.png", "scored.png"))
    assert with_scores.shape[1] == 1.5 * plain.shape[1]
    assert plain.std() > 0.05  # something is drawn


def test_a_name_that_is_no_picture_is_refused(tiny_library, tmp_path):
    with pytest.raises(ValueError, match=r"A picture is named \*\.png, \*\.svg, \*\.pdf\. Got plot\.txt"):
        plot_embedding(tiny_library, tmp_path / "plot.txt")
