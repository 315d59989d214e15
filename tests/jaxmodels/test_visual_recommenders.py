"""BPR-MF, VBPR and DeepStyle: the reference's scores, loops over the formulas, categories, what starts at what."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmodels.visual_recommenders import BPRMF, VBPR, Catalogue, DeepStyle

USERS, ITEMS, D = 7, 12, 4
RENAMED = {"beta_f": "beta_vis", "p_u": "gamma_u", "q_i": "gamma_i", "l_c": "cat_emb"}
"""What the reference calls a parameter, where not as here."""


def golden(shared):
    with np.load(shared / "parity" / "recsys_goldens.npz", allow_pickle=False) as archive:
        return {key[4:]: archive[key] for key in archive.files if key.startswith("vis/")}


def catalogue_of(gold):
    return Catalogue(jnp.float32(gold["feat"]), jnp.int32(gold["cat"])[:, None])


def params_of(gold, module, catalogue):
    """The reference's weights in the module's places."""
    shapes = jax.eval_shape(module.init, jax.random.key(0), *pairs(), catalogue)["params"]
    return {name: jnp.float32(gold[RENAMED.get(name, name)]) for name in shapes}


def pairs():
    return jnp.zeros(3, jnp.int32), jnp.arange(3)


def modules(features=9, categories=3):
    return {
        "bpr-mf": BPRMF(USERS, ITEMS, D),
        "vbpr": VBPR(USERS, ITEMS, D, features, D),
        "deepstyle": DeepStyle(USERS, ITEMS, D, features, categories),
    }


def make_catalogue(seed=0, features=9, kinds=1):
    rng = np.random.default_rng(seed)
    categories = np.stack([rng.permutation(3)[:kinds] for _ in range(ITEMS)]).astype(np.int32)
    return Catalogue(jnp.float32(rng.random((ITEMS, features))), jnp.asarray(categories))


@pytest.fixture(scope="module")
def made():
    """Each module with parameters of unit size, also those that start at 0."""
    catalogue, out = make_catalogue(), {}
    for i, (name, module) in enumerate(modules().items()):
        fresh = module.init(jax.random.key(i), *pairs(), catalogue)["params"]
        rng = np.random.default_rng(i)
        out[name] = module, {key: jnp.float32(rng.normal(size=a.shape)) for key, a in fresh.items()}
    return catalogue, out


@pytest.mark.parametrize("kind", ["vbpr", "deepstyle"])
def test_scores_are_the_references(kind, shared):
    """1e-5 relative, as its README says."""
    gold = golden(shared)
    module, catalogue = modules()[kind], catalogue_of(gold)
    params = params_of(gold, module, catalogue)
    scores = module.apply({"params": params}, jnp.arange(USERS), catalogue, method=module.scores)
    np.testing.assert_allclose(scores, gold[f"{kind}/scores"], rtol=1e-5, atol=1e-6)
    u, i = (jnp.int32(gold[key]) for key in ("u", "pos"))
    one_by_one = module.apply({"params": params}, u, i, catalogue)
    expected = gold[f"{kind}/scores"][gold["u"], gold["pos"]]
    np.testing.assert_allclose(one_by_one, expected, rtol=1e-5, atol=1e-6)


def test_style_is_the_references(shared):
    gold = golden(shared)
    module, catalogue = modules()["deepstyle"], catalogue_of(gold)
    params = params_of(gold, module, catalogue)
    style = module.apply({"params": params}, jnp.arange(ITEMS), catalogue, method="style")
    np.testing.assert_allclose(style, gold["deepstyle/style"], rtol=1e-5, atol=1e-6)


def by_hand(kind, p, u, i, catalogue):
    f, c = np.float64(catalogue.features[i]), [c for c in np.asarray(catalogue.categories[i]) if c >= 0]
    p = {name: np.float64(a) for name, a in p.items()}
    if kind == "bpr-mf":
        return p["beta_i"][i] + p["gamma_u"][u] @ p["gamma_i"][i]
    if kind == "vbpr":
        visual = p["theta_u"][u] @ (p["E"].T @ f) + p["beta_f"] @ f
        return p["beta_i"][i] + p["gamma_u"][u] @ p["gamma_i"][i] + visual
    mean = p["l_c"][c].mean(0) if c else 0
    return p["p_u"][u] @ (p["E"].T @ f - mean + p["q_i"][i])


@pytest.mark.parametrize("kind", ["bpr-mf", "vbpr", "deepstyle"])
def test_scores_are_the_formulas(kind, made):
    catalogue, of = made
    module, params = of[kind]
    scores = module.apply({"params": params}, jnp.arange(USERS), catalogue, method=module.scores)
    expected = [[by_hand(kind, params, u, i, catalogue) for i in range(ITEMS)] for u in range(USERS)]
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)


def test_items_of_several_categories_and_of_none(made):
    _, of = made
    module, params = of["deepstyle"]
    several = make_catalogue(kinds=3)
    ids = several.categories.at[0].set(-1).at[1, 1:].set(-1).at[2, 0].set(-1)
    catalogue = several._replace(categories=ids)
    user = jnp.arange(USERS)
    scores = module.apply({"params": params}, user, catalogue, method=module.scores)
    expected = [[by_hand("deepstyle", params, u, i, catalogue) for i in range(ITEMS)] for u in range(USERS)]
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)
    # Padding is no category: neither its place nor its number matters, and no row is the default.
    single = Catalogue(catalogue.features, several.categories[:, :1])
    padded = single._replace(categories=jnp.pad(single.categories, ((0, 0), (1, 1)), constant_values=-1))
    chex.assert_trees_all_close(
        *(module.apply({"params": params}, user, c, method=module.scores) for c in (single, padded)),
        rtol=1e-6,
    )


def test_two_items_of_a_category_differ_by_their_images_alone(made):
    """The table has a row per category: what both items share is gone from the difference of their scores."""
    catalogue, of = made
    module, params = of["deepstyle"]
    same = catalogue._replace(categories=jnp.zeros_like(catalogue.categories))
    user = jnp.arange(USERS)
    shifted = {**params, "l_c": params["l_c"] + 3.0}
    before, after = (
        np.asarray(module.apply({"params": p}, user, same, method=module.scores)) for p in (params, shifted)
    )
    np.testing.assert_allclose(before - before[:, :1], after - after[:, :1], atol=1e-4)
    assert params["l_c"].shape == (3, D)


def test_only_the_image_speaks_for_an_item_at_the_start():
    """Biases are 0 and free factors small beside the projection."""
    catalogue = Catalogue(jnp.zeros((200, 30)), jnp.zeros((200, 1), jnp.int32))
    for module in (VBPR(200, 200, 20, 30, 20), DeepStyle(200, 200, 20, 30, 100)):
        params = jax.jit(module.init)(jax.random.key(0), *pairs(), catalogue)["params"]
        bound = np.sqrt(6 / (30 + 20))
        assert 0.98 * bound < np.abs(params.pop("E")).max() <= bound
        for name, table in params.items():
            if name.startswith("beta"):
                np.testing.assert_array_equal(table, 0)
            else:
                np.testing.assert_allclose(np.std(table), 0.01, rtol=0.07)


class TestVariants(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    def test_pairs_are_the_cells_of_the_scores(self):
        catalogue = make_catalogue()
        user, item = jnp.asarray([0, 3, 6]), jnp.asarray([11, 0, 5])
        for module in modules().values():
            params = {"params": module.init(jax.random.key(0), user, item, catalogue)["params"]}
            pairs = self.variant(module.apply)(params, user, item, catalogue)
            scores = module.apply(params, user, catalogue, method=module.scores)
            np.testing.assert_allclose(pairs, scores[jnp.arange(3), item], rtol=1e-5, atol=1e-7)
