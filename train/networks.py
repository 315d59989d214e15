"""Several networks of one system, applied by name inside a loss."""

from dataclasses import dataclass
from typing import Any

from flax import linen as nn
from jaxtyping import PyTree


def split_collections(variables: PyTree) -> tuple[PyTree, PyTree]:
    """(params, other collections) of what `init` returned."""
    others = {name: value for name, value in variables.items() if name != "params"}
    return variables.get("params", {}), others


@dataclass
class Networks:
    """Applies several modules that keep collections, and collects what their train-mode calls change.

    A call `networks("decoder", z)` reads the parameters and the newest collections of that name. It lives inside
    one trace of one loss function.
    """

    modules: dict[str, nn.Module]
    params: PyTree
    collections: dict[str, PyTree]
    train: bool

    def __call__(self, name: str, *inputs: Any, method: str | None = None, params: PyTree = None) -> Any:
        """Output of the module `name`; in train mode its collections advance."""
        variables = {"params": self.params[name] if params is None else params, **self.collections[name]}
        module, mutable = self.modules[name], list(self.collections[name])
        if not (self.train and mutable):
            return module.apply(variables, *inputs, self.train, method=method)
        output, changed = module.apply(variables, *inputs, self.train, method=method, mutable=mutable)
        self.collections = {**self.collections, name: changed}
        return output
