"""Write the pages that are made from code, or with --check fail when one of them is stale."""

from __future__ import annotations

import sys
from pathlib import Path

from mlq_cli.store.redis.wire_format import wire_format

HERE = Path(__file__).parent
PAGES = {HERE / "wire-format.md": wire_format}


def main(check: bool) -> int:
    stale = []
    for path, make in PAGES.items():
        text = make()
        if check and (not path.exists() or path.read_text() != text):
            stale.append(path.name)
        elif not check:
            path.write_text(text)
    if stale:
        sys.stderr.write(f"stale: {', '.join(stale)}; run `make docs`\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv))
