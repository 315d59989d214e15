"""Recommenders from pairwise comparisons: BPR-MF, and VBPR and DeepStyle, which see the items' images.

Rendle et al. (UAI 2009), He and McAuley (AAAI 2016), Liu, Wu and Wang (SIGIR 2017). An image is seen as the features
f_i of a fixed network. Each score is b_i + <w_u, v_i>, so a model is what it makes of a user and of an item, and a
new user is one more w_u. Parameters carry the symbols of the papers, and matrices are stored [in, out].

Free factors start small and biases at 0: the score of an item that training never touched is that of its image.
"""

from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

FACTORS = nn.initializers.normal(0.01)
PROJECTION = nn.initializers.xavier_uniform()
BIAS = nn.initializers.zeros_init()


class Catalogue(NamedTuple):
    """What is known of all items; `categories` holds one or several ids per item, and -1 for none."""

    features: Float[Array, "items f"]
    categories: Int[Array, "items c"]


class ItemVectors(NamedTuple):
    """What a score takes of items: vectors v_i and biases b_i."""

    vectors: Float[Array, "*n d"]
    biases: Float[Array, "*n"]


class PairwiseRecommender(nn.Module):
    """The score b_i + <w_u, v_i>; its subclasses say what w, v and b are."""

    users: int
    items: int
    factors: int

    def user_vectors(self, user: Int[Array, "*n"]) -> Float[Array, "*n d"]:
        """w_u."""
        raise NotImplementedError

    def item_vectors(self, item: Int[Array, "*n"], catalogue: Catalogue) -> ItemVectors:
        """v_i and b_i."""
        raise NotImplementedError

    def __call__(
        self, user: Int[Array, "*n"], item: Int[Array, "*n"], catalogue: Catalogue
    ) -> Float[Array, "*n"]:
        """The score of each pair."""
        v, b = self.item_vectors(item, catalogue)
        return b + jnp.sum(self.user_vectors(user) * v, axis=-1)

    def all_items(self, catalogue: Catalogue) -> ItemVectors:
        """v_i and b_i of every item in order."""
        return self.item_vectors(jnp.arange(self.items), catalogue)

    def scores(self, user: Int[Array, " n"], catalogue: Catalogue) -> Float[Array, "n items"]:
        """The scores of every item."""
        v, b = self.all_items(catalogue)
        return self.user_vectors(user) @ v.T + b[None]


class BPRMF(PairwiseRecommender):
    """Matrix factorisation: beta_i + <gamma_u, gamma_i>. It sees no image."""

    def setup(self) -> None:
        self.gamma_u = self.param("gamma_u", FACTORS, (self.users, self.factors))
        self.gamma_i = self.param("gamma_i", FACTORS, (self.items, self.factors))
        self.beta_i = self.param("beta_i", BIAS, (self.items,))

    def user_vectors(self, user: Int[Array, "*n"]) -> Float[Array, "*n d"]:
        """gamma_u."""
        return self.gamma_u[user]

    def item_vectors(self, item: Int[Array, "*n"], catalogue: Catalogue) -> ItemVectors:
        """gamma_i and beta_i."""
        return ItemVectors(self.gamma_i[item], self.beta_i[item])


class VBPR(PairwiseRecommender):
    """beta_i + <gamma_u, gamma_i> + <theta_u, E f_i> + <beta', f_i> (He and McAuley, eq. 4).

    Biases that all items share cancel in a comparison and are left out.
    """

    features: int
    visual_factors: int

    def setup(self) -> None:
        self.gamma_u = self.param("gamma_u", FACTORS, (self.users, self.factors))
        self.gamma_i = self.param("gamma_i", FACTORS, (self.items, self.factors))
        self.theta_u = self.param("theta_u", FACTORS, (self.users, self.visual_factors))
        self.E = self.param("E", PROJECTION, (self.features, self.visual_factors))
        self.beta_i = self.param("beta_i", BIAS, (self.items,))
        self.beta_f = self.param("beta_f", BIAS, (self.features,))

    def user_vectors(self, user: Int[Array, "*n"]) -> Float[Array, "*n d"]:
        """[gamma_u, theta_u]."""
        return jnp.concatenate([self.gamma_u[user], self.theta_u[user]], axis=-1)

    def item_vectors(self, item: Int[Array, "*n"], catalogue: Catalogue) -> ItemVectors:
        """[gamma_i, E f_i] and beta_i + <beta', f_i>."""
        f = catalogue.features[item]
        vectors = jnp.concatenate([self.gamma_i[item], f @ self.E], axis=-1)
        return ItemVectors(vectors, self.beta_i[item] + f @ self.beta_f)


class DeepStyle(PairwiseRecommender):
    """<p_u, s_i + q_i> with the style s_i = E f_i - l_c of an item in category c (Liu, Wu and Wang).

    The table l has one row per category, and is meant to take the category out of the image. An item of several
    categories has the mean of their rows (the paper has one category per item), an item of none has 0.
    """

    features: int
    categories: int

    def setup(self) -> None:
        self.p_u = self.param("p_u", FACTORS, (self.users, self.factors))
        self.q_i = self.param("q_i", FACTORS, (self.items, self.factors))
        self.E = self.param("E", PROJECTION, (self.features, self.factors))
        self.l_c = self.param("l_c", FACTORS, (self.categories, self.factors))

    def user_vectors(self, user: Int[Array, "*n"]) -> Float[Array, "*n d"]:
        """p_u."""
        return self.p_u[user]

    def item_vectors(self, item: Int[Array, "*n"], catalogue: Catalogue) -> ItemVectors:
        """s_i + q_i, and no bias."""
        v = self.style(item, catalogue) + self.q_i[item]
        return ItemVectors(v, jnp.zeros(v.shape[:-1], v.dtype))

    def style(self, item: Int[Array, "*n"], catalogue: Catalogue) -> Float[Array, "*n d"]:
        """s_i = E f_i - l_c."""
        c = catalogue.categories[item]
        known = (c >= 0)[..., None]
        l_c = jnp.sum(jnp.where(known, self.l_c[c], 0), axis=-2) / jnp.maximum(known.sum(axis=-2), 1)
        return catalogue.features[item] @ self.E - l_c
