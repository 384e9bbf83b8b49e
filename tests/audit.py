"""Known vulnerabilities of the pinned dependencies, by pip-audit; part of ``make check``.

    python tests/audit.py REQUIREMENTS [REQUIREMENTS ...]

Exits 1 where a pinned version is known to be vulnerable. Where no database of advisories can be reached, this is said,
and nothing fails.
"""

import json
import subprocess
import sys
from collections.abc import Sequence

_SECONDS = 120


def main(files: Sequence[str]) -> int:
    """Audit the pins of some requirements files; the exit status."""
    pins = [argument for file in files for argument in ("--requirement", file)]
    command = [sys.executable, "-m", "pip_audit", *pins, "--no-deps", "--disable-pip", "--format", "json"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return _skipped(f"no answer within {_SECONDS} s")
    try:
        packages = json.loads(answer.stdout)["dependencies"]
    except ValueError:
        return _skipped((answer.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1])
    unknown = [one["name"] for one in packages if "skip_reason" in one]
    if len(unknown) == len(packages):
        return _skipped(packages[0]["skip_reason"])
    found = [one for one in packages if one.get("vulns")]
    for one in found:
        advisories = ", ".join(vulnerability["id"] for vulnerability in one["vulns"])
        print(f"audit: {one['name']} {one['version']} is known to be vulnerable: {advisories}")
    print(f"audit: {len(packages) - len(unknown)} dependencies looked up, {len(found)} vulnerable")
    if unknown:
        print(f"audit: not in the database: {', '.join(unknown)}")
    return 1 if found else 0


def _skipped(reason: str) -> int:
    print(f"audit: skipped, no database of advisories can be reached: {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
