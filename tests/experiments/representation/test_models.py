"""The registry of models of images: every one has a name of its own, chosen by its tag."""

import typing

import jax

from experiments import unions
from experiments.representation.models import Model, learner


def test_every_model_has_a_learner():
    union = unions.union_of(Model)
    assert union is not None and union.tag == "objective"
    assert set(union.kinds) == {"gwae", "vae", "beta-vae", "factor-vae", "dip-vae"}
    assert list(union.kinds.values()) == list(typing.get_args(Model))
    learners = [learner(kind()) for kind in union.kinds.values()]
    assert len({one.name for one in learners}) == len(learners)
    assert [one.gromov_wasserstein for one in learners] == [True, False, False, False, False]


def test_its_task_can_be_used_after_training():
    for kind in typing.get_args(Model):
        task = learner(kind(latent_dim=3)).task
        state = jax.eval_shape(task.init, jax.random.key(0))
        (mu, logvar), pixels = jax.eval_shape(task.use, state)
        assert mu.shape == logvar.shape == (2, 3) and pixels.shape == (2, 64, 64, 3)
