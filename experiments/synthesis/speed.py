"""How fast GauGAN and DAGAN train: a whole update, and where its time goes, beside plain lax convolutions."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from experiments.timing import machine, timed
from jaxmodels.layers.convolution import Form, convolution_form
from train.bounds import AtLeast
from train.layout import Layout
from train.report.tables import Table
from train.steps import gaugan
from train.steps.gaugan import GauGANState
from train.steps.gaugan_networks import GauGANConfig, check, make_modules

FORMS: dict[str, Form] = {"this library": "platform", "plain lax convolutions": "lax"}


@dataclass(frozen=True, kw_only=True)
class GauGANSpeed:
    """One update of GauGAN or DAGAN, beside the same update on plain lax convolutions, and its parts."""

    size: Annotated[int, AtLeast(8)] = 64
    """Side of the images in pixels."""
    classes: Annotated[int, AtLeast(2)] = 12
    """Classes of the layouts."""
    batch_size: Annotated[int, AtLeast(2)] = 2
    """Pairs per update."""
    repeats: Annotated[int, AtLeast(1)] = 7
    """Timed updates of each form; the median counts."""
    model: GauGANConfig = GauGANConfig(width=16, discriminator_width=16)


def gaugan_table(config: GauGANSpeed) -> Table:
    """An update in both forms, and passes of the networks in ours, in eval mode."""
    layout = Layout(config.classes, False, False, config.size, config.size)
    check(config.model, layout)
    state = jax.jit(partial(gaugan.init_state, config=config.model, layout=layout))(jax.random.key(0))
    shape = (config.batch_size, config.size, config.size)
    batch = {
        "label": jax.random.randint(jax.random.key(1), shape, 0, config.classes),
        "image": jax.random.randint(jax.random.key(2), (*shape, 3), 0, 256).astype(jnp.uint8),
    }
    programs = {name: _program(form, _update, state, batch, config, layout) for name, form in FORMS.items()}
    parts = {"generator forward": _generate, "generator forward and back": _generator_gradient}
    parts |= {"discriminator forward and back": _discriminator_gradient}
    programs |= {
        name: _program("platform", part, state, batch, config, layout) for name, part in parts.items()
    }
    seconds = timed(programs, config.repeats)
    whole = seconds["this library"].wall
    rows = [[name, one.wall, one.cpu, one.wall / whole] for name, one in seconds.items()]
    caption = (
        f"gaugan: an update ({config.model.generator}, ngf {config.model.width}, ndf "
        f"{config.model.discriminator_width}, {config.model.upsampling}) on {config.batch_size} pairs of "
        f"{config.size} x {config.size} pixels and {config.classes} classes, on {machine()}; median of {config.repeats}"
    )
    note = "An update: two generator passes forward and one back, two discriminator passes forward and back, and Adam."
    return Table(caption, ["program", "s", "CPU s", "time, this library = 1"], rows, note)


def _program(
    form: Form,
    function: Callable[..., Any],
    state: GauGANState,
    batch: dict,
    config: GauGANSpeed,
    layout: Layout,
) -> Callable[[], object]:
    with convolution_form(form):
        bound = partial(function, config=config.model, layout=layout)
        compiled = jax.jit(bound).lower(state, batch).compile()
    return lambda: compiled(state, batch)


def _update(state: GauGANState, batch: dict, config: GauGANConfig, layout: Layout) -> Any:
    return gaugan.train_step(state, batch, config, layout, 1000)


def _generate(state: GauGANState, batch: dict, config: GauGANConfig, layout: Layout) -> Any:
    z = jnp.zeros((len(batch["label"]), config.latent_dim)) if config.vae else None
    return gaugan.generate(state, batch, z, config, layout)


def _generator_gradient(state: GauGANState, batch: dict, config: GauGANConfig, layout: Layout) -> Any:
    def loss(params: dict) -> jax.Array:
        changed = state.replace(params={**state.params, "generator": params})
        return jnp.mean(_generate(changed, batch, config, layout))

    return jax.grad(loss)(state.params["generator"])


def _discriminator_gradient(state: GauGANState, batch: dict, config: GauGANConfig, layout: Layout) -> Any:
    image = gaugan.signed_pixels(batch["image"])
    pairs = jnp.concatenate([gaugan.see(batch, layout), image], -1)
    module, collections = make_modules(config, layout)["discriminator"], state.collections["discriminator"]

    def loss(params: dict) -> jax.Array:
        scales: Any = module.apply({"params": params, **collections}, jnp.concatenate([pairs, pairs]), False)
        return jnp.mean(jnp.stack([jnp.mean(scale[-1]) for scale in scales]))

    return jax.grad(loss)(state.params["discriminator"])
