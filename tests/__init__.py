"""The tests: a folder per room of orch/, and quality/ for what holds everywhere."""
