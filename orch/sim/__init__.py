"""The simulator: the machines of a cluster, on a virtual clock, in a world that loses messages and kills processes.

One seed is one whole run. It checks every invariant after every event; a failure is a seed that replays it.
"""
