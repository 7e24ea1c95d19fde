"""The contract of every state machine: events in, commands out, facts in between; and the host that runs several
behind one journal.
"""
