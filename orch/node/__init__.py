"""The supervisor of one machine: processes, sandboxes, logs, probes, and the shell around each agent's machine.

`main` runs one supervisor. It hosts one or more agents, owns every process of theirs, and knows nothing of Ray.
"""
