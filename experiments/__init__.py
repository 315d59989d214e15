"""Which published result: one file per experiment, and the commands on runs."""

from experiments.first_seconds import begin

begin()
