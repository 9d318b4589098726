"""The way in, as `mlq` and as `python -m mlq_cli`."""

from __future__ import annotations

import gc


def main() -> None:
    """Run the command that the command line names.

    What is loaded here stays loaded. To look through it for garbage, while it is loaded and once more at the end, would
    be an eighth of the time of `mlq post`.
    """
    gc.disable()
    try:
        from mlq_cli.cli.main import main as run
    except KeyboardInterrupt:  # before there is anything that could say so
        raise SystemExit(130) from None

    gc.freeze()
    gc.enable()
    try:
        run()
    finally:
        gc.freeze()


if __name__ == "__main__":
    main()
