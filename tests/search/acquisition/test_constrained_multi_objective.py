import subprocess
import sys

CODE = """
import sys
import torch.utils.cpp_extension as compiler
compiler.load = lambda *_, **__: exit("BoTorch compiles")
from embeddings import GraphLibrary
from search import BOSHNAS, BOSHNASSettings
library = GraphLibrary.load(sys.argv[1])
settings = BOSHNASSettings(num_init=3, surrogate="gp", acquisition="log_ei")
boshnas = BOSHNAS(library, seed=0, settings=settings, objectives=("score", "parameters"))
for number in range(5):
    (candidate,) = boshnas.ask(1)
    boshnas.tell(candidate, number / 10)
assert sys.modules["torch.utils.cpp_extension"] is compiler
print(candidate.proposed_by)
"""


def test_the_expected_hypervolume_needs_no_compiler(tiny_library, tmp_path):
    tiny_library.save(tmp_path / "library.json")
    run = subprocess.run([sys.executable, "-c", CODE, str(tmp_path / "library.json")], capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (0, "optimized\n"), run.stderr
