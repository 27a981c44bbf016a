"""Known vulnerabilities of what a node runs: `python -m supply.audit LOCK`.

The question is asked by pip-audit, of the package index's own database. That an answer is missing is said and is no
failure: a build must not depend on a network. That a vulnerability is known is one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def audit(lock: Path) -> tuple[str, bool]:
    """Ask about every version of a lock.

    Returns:
        What was found, in sentences, and whether no vulnerability is known.
    """
    command = [sys.executable, "-m", "pip_audit", "--require-hashes", "--disable-pip", "--format", "json"]
    run = subprocess.run(  # noqa: S603 - our own words
        [*command, "--progress-spinner", "off", "-r", str(lock)], capture_output=True, text=True, check=False
    )
    try:
        return judge(json.loads(run.stdout)["dependencies"])
    except (ValueError, KeyError):
        why = (run.stderr.strip().splitlines() or ["no answer"])[-1]
        return f"NOT AUDITED: the vulnerability database could not be asked ({why[:200]}).", True


def judge(dependencies: list[dict[str, Any]]) -> tuple[str, bool]:
    """What pip-audit's report says, in sentences, and whether no vulnerability is known."""
    known = [
        f"{found['name']} {found['version']}: {vulnerability['id']}; "
        f"fixed in {', '.join(vulnerability['fix_versions']) or 'no version yet'}."
        for found in dependencies
        for vulnerability in found.get("vulns", [])
    ]
    skipped = [found["name"] for found in dependencies if "skip_reason" in found]
    sentences = [*known]
    if skipped:  # pip-audit itself passes over them, and says that nothing was found
        sentences.append(f"NOT AUDITED: the database knows nothing of the locked version of {', '.join(skipped)}.")
    if not dependencies:
        sentences.append("NOT AUDITED: no package was asked for.")
    elif len(skipped) < len(dependencies) and not known:
        sentences.append(f"No vulnerability is known in {len(dependencies) - len(skipped)} packages.")
    return "\n".join(sentences), not known


if __name__ == "__main__":
    text, passed = audit(Path(sys.argv[1]))
    print(text)
    sys.exit(0 if passed else 1)
