"""Which code computed a number: the package's version and a digest of its source."""

import hashlib
from functools import cache
from pathlib import Path

import paxcast


@cache
def code_version() -> str:
    """For example `0.1.0+3f2a9c41`: equal for equal source files, with or without a git checkout."""
    root = Path(paxcast.__file__).parent
    sha = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        sha.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return f"{paxcast.__version__}+{sha.hexdigest()[:8]}"
