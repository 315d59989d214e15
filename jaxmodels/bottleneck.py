"""A classifier whose latent is a sample: the network of information bottlenecks on permutation-invariant digits."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxmodels.critics import MLP

LARGEST_RHO = 1.1


class Bottleneck(nn.Module):
    """p(z|x) = N(mu(x), diag sigma(x)^2) and a linear classifier of z (Alemi et al., ICLR 2017; Cheng et al. 2020).

    Glorot initialisation and zero biases, as Keras has them.

    Attributes:
      latent_dim: of z.
      hidden: ReLU layers of the encoder.
      classes: of the classifier.
    """

    latent_dim: int = 256
    hidden: tuple[int, ...] = (1024, 1024)
    classes: int = 10

    def setup(self) -> None:
        self.encoder = MLP((*self.hidden, 2 * self.latent_dim))
        self.classifier = MLP((self.classes,))

    def __call__(self, x: Float[Array, "b p"]) -> Float[Array, "b c"]:
        """Logits at z = mu."""
        return self.classify(self.encode(x)[0])

    def encode(self, x: Float[Array, "b p"]) -> tuple[Float[Array, "b l"], Float[Array, "b l"]]:
        """mu and log sigma^2; sigma is the softplus of a number that is kept in [-1.1, 1.1]."""
        mu, rho = jnp.split(self.encoder(x), 2, axis=-1)
        sigma = jax.nn.softplus(jnp.clip(rho, -LARGEST_RHO, LARGEST_RHO))
        return mu, 2 * jnp.log(sigma)

    def classify(self, z: Float[Array, "b l"]) -> Float[Array, "b c"]:
        """Logits."""
        return self.classifier(z)
