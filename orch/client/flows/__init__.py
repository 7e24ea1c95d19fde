"""Every operation of the client, once, as flows (`orch.client.effects`). `orch` and `orch.aio` carry them out."""
