"""`python -m orch`: the command line, also where no script could be installed."""

from orch.cli.main import main

if __name__ == "__main__":
    main()
