"""Eight CPU devices, strict JAX, and shape-checked public functions for the whole suite."""

import os
import pathlib
import signal

# A shell starts what runs in its background with Ctrl-C ignored, and programs that tests interrupt would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")
os.environ.setdefault("MPLBACKEND", "Agg")
# Nearly all of the suite's time is compilation, of small programs that run once: unoptimised it takes a third.
# JAX_DISABLE_MOST_OPTIMIZATIONS=0 tests the programs as users run them.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

import hypothesis
import jax
import jaxlib
import jaxtyping
import pytest

hypothesis.settings.register_profile("house", derandomize=True, deadline=None)
hypothesis.settings.load_profile("house")

jaxtyping.install_import_hook(["objectives"], "beartype.beartype")

if os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] == "1" and jaxlib.__version__.startswith("0.10."):
    # Its second, quicker way to compile what is fused; later versions have one way only.
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)
jax.config.update("jax_compilation_cache_dir", str(ROOT / ".cache" / "jax-tests"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """The folder of reference numbers and small real data; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("reference data folder ../shared is absent")
    return SHARED


@pytest.fixture(scope="module")
def optimised():
    """For tests whose programs run longer than they compile, as those that render images do."""
    before = os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] == "1"
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
