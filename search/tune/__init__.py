"""Ray: the searcher for Tune, the runner, cluster, storage, progress and the models that stay."""
