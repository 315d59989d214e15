"""Top-k ranking metrics of one held-out set per user, on device, exact with padding.

Liang, Krishnan, Hoffman and Jebara, "Variational Autoencoders for Collaborative Filtering", WWW 2018 (NDCG, Recall);
Wu, DuBois, Zheng and Ester, "Collaborative Denoising Auto-Encoders", WSDM 2016 (precision, Recall, MAP). Both call
something Recall@k, with different denominators: `recall` divides by min(k, |held|), as Liang et al. do, and
`recall_of_all` by |held|, as CDAE does.
"""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from train import item_shards


def rank_metrics(
    scores: Float[Array, "B I"],
    seen: Float[Array, "B I"],
    held: Float[Array, "B I"],
    ks: Sequence[int],
    real: int | None = None,
) -> dict[str, Float[Array, "B"]]:
    """Each metric at each k for every user, NaN where a user has no held-out item.

    Items that the user has seen are not ranked, nor are those with a score of -inf; of equal scores the item of the
    lower number comes first. With rel_r = 1 where the item at rank r is held out, else 0, and n = |held|:

      ndcg@k           sum_{r<=k} rel_r / log2(r + 1)  over  sum_{r<=min(k,n)} 1 / log2(r + 1)
      recall@k         sum_{r<=k} rel_r / min(k, n)
      recall_of_all@k  sum_{r<=k} rel_r / n
      precision@k      sum_{r<=k} rel_r / k
      map@k            sum_{r<=k} precision@r rel_r / min(k, n)
      mrr@k            1 / the least r <= k with rel_r = 1, or 0

    Args:
      scores: higher is better; NaN makes the user's metrics NaN.
      seen: ones at items that are left out of the ranking, zeros elsewhere.
      held: ones at held-out items, zeros elsewhere; one that was seen is never found.
      ks: how many ranks count; more than there are items is allowed.
      real: the number of items, where the catalogue is padded to more columns (see `train.item_shards`).

    Returns:
      {"ndcg@100": [B], ...}
    """
    ranked = min(max(ks), scores.shape[1])
    values, items = item_shards.top_k(jnp.where(seen > 0, -jnp.inf, scores), ranked, real)
    found = item_shards.columns(held, items) > 0
    relevant = jnp.where(jnp.isneginf(values), False, found).astype(jnp.float32)
    relevant = jnp.pad(relevant, ((0, 0), (0, max(ks) - ranked)))
    size = held.sum(1)
    defined = (size > 0) & ~jnp.isnan(jnp.where(seen > 0, 0, scores)).any(1)
    terms = _terms(relevant, size, ks)
    return {name: jnp.where(defined, value, jnp.nan) for name, value in terms.items()}


def _terms(
    relevant: Float[Array, "B k"], size: Float[Array, "B"], ks: Sequence[int]
) -> dict[str, Float[Array, "B"]]:
    """The metrics of rel_r; users without a held-out item get a number without meaning."""
    rank = jnp.arange(1, relevant.shape[1] + 1, dtype=jnp.float32)[None]
    discount = 1 / jnp.log2(rank + 1)
    hits = jnp.cumsum(relevant, axis=1)
    gain = jnp.cumsum(relevant * discount, axis=1)
    ideal = jnp.cumsum(discount[0])
    precision = jnp.cumsum(relevant * hits / rank, axis=1)
    first = (relevant * (hits == 1) / rank).cumsum(1)
    size = jnp.maximum(size, 1)
    out = {}
    for k in ks:
        at, most = k - 1, jnp.minimum(size, k)
        out[f"ndcg@{k}"] = gain[:, at] / ideal[most.astype(jnp.int32) - 1]
        out[f"recall@{k}"] = hits[:, at] / most
        out[f"recall_of_all@{k}"] = hits[:, at] / size
        out[f"precision@{k}"] = hits[:, at] / k
        out[f"map@{k}"] = precision[:, at] / most
        out[f"mrr@{k}"] = first[:, at]
    return out
