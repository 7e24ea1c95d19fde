"""The command line: `orch up`, `orch run`, `orch submit`, `orch why`, ... Data goes to stdout, messages to stderr."""
