"""The networks of GWAE (Nakagawa et al., ICLR 2023): encoder, decoder and critic for 64x64 images."""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmodels.layers.activations import inverse_sigmoid
from jaxmodels.layers.batch_norm import COLLECTION, BatchNorm
from jaxmodels.layers.convolution import DownConv, UpConv
from jaxmodels.layers.dense import Dense


class ResidualBlock(nn.Module):
    """x + [1x1 -> SiLU -> (BN) -> 1x1 -> SiLU -> (BN)](x), channels kept."""

    batch_norm: bool
    momentum: float
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b h w c"]:
        h = x
        for _ in range(2):
            h = nn.silu(Dense(x.shape[-1], dtype=self.dtype)(h))
            if self.batch_norm:
                h = BatchNorm(self.momentum)(h, train)
        return x + h


class Encoder(nn.Module):
    """q(z|x) = N(mu, diag exp(logvar)): pixels in [0, 1] -> (mu, logvar), each [b, latent_dim] float32.

    Four 4x4 stride-2 convolutions with SiLU, one linear layer, two heads; logvar is raw (no clamp).
    `batch_norm` puts batch normalisation after each convolution and on both heads, as the baselines of the
    official package have it; `residual_blocks` two blocks of 1x1 convolutions after each stage;
    `latent_batch_norm` standardises q(z) itself. The first layer is the inverse sigmoid of the pixels.
    """

    latent_dim: int
    batch_norm: bool = False
    residual_blocks: bool = False
    latent_batch_norm: bool = False
    padding: Literal["edge", "zeros"] = "edge"
    momentum: float = 0.5
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], train: bool = False
    ) -> tuple[Float[Array, "b l"], Float[Array, "b l"]]:
        h = inverse_sigmoid(x).astype(self.dtype)
        for features in (32, 64, 128, 256):
            h = nn.silu(DownConv(features, self.padding, dtype=self.dtype)(h))
            if self.batch_norm:
                h = BatchNorm(self.momentum)(h, train)
            if self.residual_blocks:
                for _ in range(2):
                    h = ResidualBlock(self.batch_norm, self.momentum, self.dtype)(h, train)
        h = nn.silu(Dense(256, dtype=self.dtype)(h.reshape(len(h), -1)))
        mu, logvar = self._head("mean", h, train), self._head("logvar", h, train)
        if self.latent_batch_norm:
            mu, logvar = LatentBatchNorm(name="latent_batch_norm")(mu, logvar, train)
        return mu, logvar

    def _head(self, name: str, h: jax.Array, train: bool) -> jax.Array:
        out = Dense(self.latent_dim, dtype=self.dtype, name=name)(h).astype(jnp.float32)
        return BatchNorm(self.momentum, name=f"{name}_batch_norm")(out, train) if self.batch_norm else out


class LatentBatchNorm(nn.Module):
    """Shifts and scales the posteriors so that the aggregate q(z) has mean 0 and variance 1 per dimension.

    The variance of the aggregate is the mean posterior variance plus the (unbiased) variance of the posterior
    means. Running values copy the first batch and then move half-way to each new one.
    """

    @nn.compact
    def __call__(
        self, mu: Float[Array, "b l"], logvar: Float[Array, "b l"], train: bool
    ) -> tuple[Float[Array, "b l"], Float[Array, "b l"]]:
        size = mu.shape[-1:]
        mean = self.variable(COLLECTION, "mean", jnp.zeros, size)
        log_variance = self.variable(COLLECTION, "log_var", jnp.zeros, size)
        seen = self.variable(COLLECTION, "seen", jnp.zeros, ())
        if not train:
            m, v = mean.value, log_variance.value
        else:
            m = mu.mean(0)
            v = jnp.logaddexp(
                jax.nn.logsumexp(logvar, axis=0) - jnp.log(len(logvar)),
                jnp.log(jnp.maximum(mu.var(0, ddof=1), 1e-10)),
            )
            if not self.is_initializing():
                weight = jnp.where(seen.value > 0, 0.5, 1.0)
                mean.value += weight * (m - mean.value)
                log_variance.value += weight * (v - log_variance.value)
                seen.value = jnp.ones(())
        return (mu - m[None]) * jnp.exp(-v / 2)[None], logvar - v[None]


class Decoder(nn.Module):
    """p(x|z): codes [b, latent_dim] -> pixels [b, 64, 64, channels] in (0, 1), float32.

    Two linear layers, three 4x4 stride-2 transposed convolutions with SiLU, a fourth with the sigmoid.
    """

    channels: int = 3
    batch_norm: bool = False
    residual_blocks: bool = False
    momentum: float = 0.5
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, z: Float[Array, "b l"], train: bool = False) -> Float[Array, "b 64 64 c"]:
        h = nn.silu(Dense(256, dtype=self.dtype)(z))
        h = nn.silu(Dense(4096, dtype=self.dtype)(h)).reshape(-1, 4, 4, 256)
        for features in (128, 64, 32):
            h = nn.silu(UpConv(features, dtype=self.dtype)(h))
            if self.batch_norm:
                h = BatchNorm(self.momentum)(h, train)
            h = self._residual(h, train)
        h = UpConv(self.channels, dtype=self.dtype)(h)
        return nn.sigmoid(self._residual(h, train).astype(jnp.float32))

    def _residual(self, h: jax.Array, train: bool) -> jax.Array:
        for _ in range(2 if self.residual_blocks else 0):
            h = ResidualBlock(self.batch_norm, self.momentum, self.dtype)(h, train)
        return h


def _leaky_relu(x: jax.Array) -> jax.Array:
    return nn.leaky_relu(x, 0.2)


class _ImageNet(nn.Module):
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        h = x
        for features in (8, 16, 32, 64, 128, 256):
            h = _leaky_relu(DownConv(features, spectral=True, dtype=self.dtype)(h, train))
        return Dense(64, spectral=True, dtype=self.dtype)(h.reshape(len(h), -1), train)


class _CodeNet(nn.Module):
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, z: jax.Array, train: bool) -> jax.Array:
        h = z
        for features in (256, 256, 64):
            h = _leaky_relu(Dense(features, spectral=True, dtype=self.dtype)(h, train))
        return h


class _JointNet(nn.Module):
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, h: jax.Array, train: bool) -> jax.Array:
        for features in (256, 256):
            h = _leaky_relu(Dense(features, spectral=True, dtype=self.dtype)(h, train))
        return Dense(1, spectral=True, dtype=self.dtype)(h, train)[:, 0]


class Critic(nn.Module):
    """Kantorovich potential D(x, z) of the joint: images [b, 64, 64, c] and codes [b, l] -> [b] float32.

    Every layer is spectrally normalised; in train mode each call advances its singular vectors by one power
    iteration (collection "spectral").
    """

    dtype: jnp.dtype = jnp.float32

    def setup(self) -> None:
        self.x_net = _ImageNet(self.dtype)
        self.z_net = _CodeNet(self.dtype)
        self.xz_net = _JointNet(self.dtype)

    def __call__(
        self, x: Float[Array, "b 64 64 c"], z: Float[Array, "b l"], train: bool = False
    ) -> Float[Array, " b"]:
        h = jnp.concatenate([self.x_net(x, train), self.z_net(z, train)], axis=-1) / 2
        return self.xz_net(h, train).astype(jnp.float32)

    def image_features(self, x: Float[Array, "b 64 64 c"], train: bool = False) -> Float[Array, "b 64"]:
        """The 64 image features, between which the learned similarity measures reconstruction."""
        return self.x_net(x, train).astype(jnp.float32)
