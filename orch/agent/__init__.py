"""The agent of one machine: launches, probes, reports and stops what the master said, and decides nothing else."""
