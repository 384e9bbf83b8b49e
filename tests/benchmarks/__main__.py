"""``make bench``: every benchmark in turn."""

from tests.benchmarks import costs, edit_distance, library, pruning, speed

for benchmark in (library, edit_distance, costs, speed, pruning):
    print(f"== {benchmark.__name__.rpartition('.')[2]}: {(benchmark.__doc__ or '').splitlines()[0]}", flush=True)
    benchmark.main()
