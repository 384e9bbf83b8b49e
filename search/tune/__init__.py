"""Ray: the searcher for Tune, the runner, cluster, storage, progress and the models that stay."""

import os
from pathlib import Path

# Ray reads this once, when it is imported; by itself it offers this user's token to local clusters only, although
# `ray start` asks for it whenever there is one.
if any(map(os.environ.get, ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))) or (Path.home() / ".ray/auth_token").is_file():
    os.environ.setdefault("RAY_AUTH_MODE", "token")
