"""The machines in the real world: a clock, a journal, and Ray actors that carry messages in batches."""
