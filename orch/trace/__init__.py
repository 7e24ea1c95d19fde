"""Traces of clusters: read from files, replayed over a virtual clock, measured and drawn.

`read_agents` and `read_pods` read node and pod lists; `replay` runs one by a policy of the placement core; `figures`
says what a capacity planner asks. No cluster is needed, and the same input gives the same output.
"""
