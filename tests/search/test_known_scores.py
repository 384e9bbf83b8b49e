"""What a search knows at its start from earlier runs and levels."""

import json
from types import SimpleNamespace

from design_space import ModelSpec
from search import BOSHNAS
from search.candidate import RESULT_FILE, Candidate, Origin
from search.tune.model_retention import ModelKeeper
from search.tune.runner import _tell_known

OUTSIDE = ModelSpec.from_dict({"l": 1, "o": [["sa_sdp_8", "c_3_8"]], "h": [24], "f": [[16]]})
LOST = ModelSpec.from_dict({"l": 1, "o": [["sa_sdp_8"]], "h": [24], "f": [[16]]})


def test_children_of_an_earlier_level_are_known_and_not_proposed_again(tiny_library, tmp_path):
    member = tiny_library.specs[3]
    child = Candidate(OUTSIDE, Origin("merge", member.hash), proposed_by="optimized")
    (tmp_path / OUTSIDE.hash).mkdir()
    (tmp_path / OUTSIDE.hash / RESULT_FILE).write_text(json.dumps({"candidate": child.to_dict()}))
    boshnas = BOSHNAS(tiny_library, seed=0)
    run = SimpleNamespace(library=tiny_library, models_dir=tmp_path, roots=None)
    for graph_hash, score in ((member.hash, 0.5), (OUTSIDE.hash, 0.75), (LOST.hash, 0.9)):
        _tell_known(run, boshnas, graph_hash, score)
    assert boshnas._observed.scores == {member.hash: [0.5], OUTSIDE.hash: [0.75]}
    assert boshnas.trained == [OUTSIDE.hash]  # of the member no weights are here
    assert boshnas._observed.origins[OUTSIDE.hash] == child.origin


def test_children_whose_weights_were_removed_are_known_and_no_parents(tiny_library, tmp_path):
    child = Candidate(OUTSIDE, Origin("merge", tiny_library.specs[3].hash))
    (tmp_path / OUTSIDE.hash).mkdir()
    (tmp_path / OUTSIDE.hash / RESULT_FILE).write_text(json.dumps({"candidate": child.to_dict()}))
    ModelKeeper(BOSHNAS(tiny_library), tmp_path, 1)._remove(OUTSIDE.hash)
    assert not (tmp_path / OUTSIDE.hash).exists()
    boshnas = BOSHNAS(tiny_library, seed=0)
    _tell_known(SimpleNamespace(library=tiny_library, models_dir=tmp_path, roots=None), boshnas, OUTSIDE.hash, 0.75)
    assert boshnas._observed.scores == {OUTSIDE.hash: [0.75]}
    assert boshnas._observed.origins[OUTSIDE.hash] == child.origin
    assert boshnas.trained == []


def test_an_encoder_is_trained_again_on_every_level(tiny_library, tmp_path):
    root = ModelSpec.homogeneous(2, 16, 2, 32)
    for folder, origin in ((root, Origin("pretrained", model="bert")), (OUTSIDE, Origin("merge", root.hash))):
        (tmp_path / folder.hash).mkdir()
        (tmp_path / folder.hash / RESULT_FILE).write_text(
            json.dumps({"candidate": Candidate(folder, origin).to_dict()})
        )
    boshnas = BOSHNAS(tiny_library, seed=0, roots={"bert": root})
    run = SimpleNamespace(library=tiny_library, models_dir=tmp_path, roots=SimpleNamespace(specs={"bert": root}))
    for graph_hash in (root.hash, OUTSIDE.hash):
        _tell_known(run, boshnas, graph_hash, 0.75)
    assert [candidate.origin for candidate in boshnas.ask()] == [Origin("pretrained", model="bert")]
    assert boshnas.trained == [OUTSIDE.hash]
