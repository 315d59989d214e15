"""Which published result: one file per experiment, and the commands on runs."""
