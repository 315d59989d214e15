"""Every program of an epoch is timed."""

from experiments.recommendation.speed import MultVAESpeed, mult_vae_table
from train.steps.mult_vae import MultVAEConfig


def test_every_program_is_timed():
    model = MultVAEConfig(hidden=(), latent_dim=3)
    config = MultVAESpeed(users=9, items=12, clicks=3, batch_size=4, seeds=2, repeats=1, model=model)
    table = mult_vae_table(config)
    assert [row[0] for row in table.rows][0::3] == ["one seed", "EASE"]
    assert all(number > 0 for row in table.rows for number in row[1:])
