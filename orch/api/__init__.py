"""The HTTP API: the one line of communication with a cluster. `orch.api.app.create_app(backend, settings)` makes it.

It decides nothing: requests go to the machines as events, reads come from a replica that follows the feed, and bytes
(logs, files) come from the node supervisors, who dial in.
"""
