"""What a user would run instead, each with the same work: `run(n) -> (launches a second, outputs and codes right)`."""
