"""States as named arrays: the same bits back, and any other bit noticed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.host_state import damaged, from_host, json_crc32, kinds, label, named_leaves, pack, to_host, unpack

KEY = jax.random.key(3)
STATE = {
    "b": (jnp.arange(6.0).reshape(2, 3), jnp.float32(np.nan)),
    "a": {"half": jnp.ones((3,), jnp.bfloat16), "none": jnp.zeros((0, 2)), "flag": jnp.array(True)},
    "key": KEY,
    "count": 7,
}


def test_names_and_kinds():
    assert kinds(STATE) == {
        "a/flag": "bool[]",
        "a/half": "bfloat16[3]",
        "a/none": "float32[0, 2]",
        "b/0": "float32[2, 3]",
        "b/1": "float32[]",
        "count": "int32[]",
        "key": "key<fry>[]",
    }
    assert kinds({k: v for k, v in STATE.items() if k != "count"}).items() <= kinds(STATE).items()
    with pytest.raises(ValueError, match="one name"):
        named_leaves({"a": {"b": 1}, "a/b": 2})


def test_abstract_states_are_of_the_same_kinds():
    assert kinds(jax.eval_shape(lambda: STATE)) == kinds(STATE)


def test_there_and_back():
    arrays = to_host(STATE)
    labels = label(STATE, arrays)
    again = unpack(pack(arrays), STATE)
    assert damaged(again, labels) == []
    state = from_host(again, labels, STATE)
    assert jax.tree.structure(state) == jax.tree.structure(STATE)
    assert pack(to_host(state)).tobytes() == pack(arrays).tobytes()
    assert (state["count"], type(state["count"])) == (7, int)
    assert jax.random.key_impl(state["key"]) == jax.random.key_impl(KEY)


def test_the_copy_is_no_view_of_the_state():
    x = jnp.zeros(8)
    copy = to_host([x])
    jax.jit(lambda a: a + 1, donate_argnums=0)(x)
    np.testing.assert_array_equal(copy["0"], np.zeros(8))


@given(st.data())
def test_any_flipped_bit_is_noticed_and_named(data: st.DataObject):
    arrays = to_host(STATE)
    packed = pack(arrays)
    packed[data.draw(st.integers(0, packed.size - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert len(damaged(unpack(packed, STATE), label(STATE, arrays))) == 1


def test_json_checksums_ignore_the_order_of_keys():
    assert json_crc32({"a": 1, "b": 2}) == json_crc32({"b": 2, "a": 1}) != json_crc32({"a": 2, "b": 1})
