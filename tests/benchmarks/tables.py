"""Tables for ``python -m search.benchmark`` of other kinds: measured latency, energy and peak power of architectures.

ProTran's result files map a hash to a hetero model dict and its ``performance``. With the folder of data beside the
repository, both files are written as tables to ``--out_dir``, and the commands that compare searchers on them printed.
"""

import argparse
import json
import sys
from pathlib import Path

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "nas" / "protran"


def table_of(results: dict) -> list[dict]:
    """Entries of a table from ProTran's results."""
    return [{"model_dict": of["model_dict"], "scores": of["performance"]} for of in results.values()]


def main(arguments: list[str] | None = None) -> None:
    """Write the tables, and say how to compare on them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out_dir", type=Path, default=Path("runs/tables"))
    options = parser.parse_args([] if arguments is None else arguments)
    if not DATA.is_dir():
        print("needs the folder 'shared' beside the repository")
        return
    options.out_dir.mkdir(parents=True, exist_ok=True)
    for path in sorted(DATA.glob("*.json")):
        table = table_of(json.loads(path.read_text(encoding="utf-8")))
        out = options.out_dir / path.name
        out.write_text(json.dumps(table), encoding="utf-8")
        print(f"{out}: {len(table)} architectures")
        for metric in ("energy", "latency"):
            print(f"  python -m search.benchmark --table {out} --metric {metric} --minimize --queries 60 --seeds 20")
        print(f"  python -m search.benchmark --table {out} --metric peak_power --minimize --objectives score latency")


if __name__ == "__main__":
    main(sys.argv[1:])
