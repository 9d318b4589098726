"""`python -m mlq_cli` is `mlq`."""

from mlq_cli.cli.main import main

if __name__ == "__main__":
    main()
