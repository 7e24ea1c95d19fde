"""The acceptance commands: what each prints, and what it must reach. `scripts/accept.py` runs them.

A check is a function that takes the Context and yields Lines; a module lists its checks in CHECKS; ALL lists the
modules in the order in which they run. To add a line, add a function to a module's CHECKS.
"""
