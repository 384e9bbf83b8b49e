"""Ray: the searcher for Tune, the runner, cluster, storage, progress and the models that stay."""

import os
import sys
from pathlib import Path

# Ray reads these once, when it is imported. By itself it offers this user's token to local clusters only, although
# `ray start` asks for it whenever there is one; and a local Ray listens beyond this machine, except where there are no
# clusters (``cluster`` takes this back: drivers do not ask, but `ray start` does).
if "ray" not in sys.modules:
    if (
        os.environ.get("RAY_AUTH_TOKEN")
        or os.environ.get("RAY_AUTH_TOKEN_PATH")
        or (Path.home() / ".ray/auth_token").is_file()
    ):
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
