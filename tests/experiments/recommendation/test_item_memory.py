"""The memory of divided items is that of a part of them."""

import jax
import pytest

from experiments.recommendation.item_memory import ItemMemory, item_memory_table, largest_array
from train.errors import UserError
from train.steps.mult_vae import MultVAEConfig


def test_largest_array_of_a_program():
    assert largest_array("f32[2,3]{1,0} add(s32[7]) pred[100]") == 28


@pytest.mark.skipif(jax.device_count() < 8, reason="needs JAX_NUM_CPU_DEVICES=8")
def test_eight_devices_hold_an_eighth_each():
    config = ItemMemory(
        items=8000, batch_size=4, longest=10, k=20, model=MultVAEConfig(hidden=(), latent_dim=16)
    )
    one, _, eight, ranking = item_memory_table(config).rows
    assert eight[2] < one[2] / 7 and eight[4] <= one[4] / 7
    assert ranking[4] <= one[4] / 7


def test_more_devices_than_there_are():
    with pytest.raises(UserError, match="--devices"):
        item_memory_table(ItemMemory(devices=(1, 1000)))
