"""The routes, one file a noun. A route reads parameters, asks the replica or a machine, and shapes the answer."""
