"""SPADE, DAGAN, the discriminator and the encoder in NumPy loops, float64, from a state dict with official names.

Written from the layers' definitions, apart from the modules: the oracle of settings that no golden has.
"""

from collections.abc import Mapping

import numpy as np

StateDict = Mapping[str, np.ndarray]
Image = np.ndarray
"""[b, c, h, w]."""


def convolve(x: Image, kernel: np.ndarray, bias: np.ndarray | float, stride: int, padding: int) -> Image:
    """Cross-correlation; the kernel is (out, in, rows, columns)."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    rows, columns = ((side - k) // stride + 1 for side, k in zip(x.shape[2:], kernel.shape[2:], strict=True))
    out = np.zeros((len(x), len(kernel), rows, columns))
    for i in range(kernel.shape[2]):
        for j in range(kernel.shape[3]):
            seen = x[:, :, i : i + stride * rows : stride, j : j + stride * columns : stride]
            out += np.einsum("oc,bchw->bohw", kernel[:, :, i, j], seen[:, :, :rows, :columns])
    return out + np.reshape(bias, (1, -1, 1, 1))


def leaky_relu(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, 0.2 * x)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def unit(x: np.ndarray) -> np.ndarray:
    return x / max(np.linalg.norm(x), 1e-12)


def nearest(x: Image, height: int, width: int) -> Image:
    """Pixel i of the new size is pixel floor(i old / new)."""
    rows = np.arange(height) * x.shape[2] // height
    return x[:, :, rows][:, :, :, np.arange(width) * x.shape[3] // width]


def double(x: Image) -> Image:
    return x.repeat(2, axis=2).repeat(2, axis=3)


def halve(x: Image) -> Image:
    """Means of 3 x 3 pixels inside the image, every second one."""
    out = np.zeros((*x.shape[:2], (x.shape[2] + 1) // 2, (x.shape[3] + 1) // 2))
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            out[:, :, i, j] = x[:, :, max(2 * i - 1, 0) : 2 * i + 2, max(2 * j - 1, 0) : 2 * j + 2].mean(
                (2, 3)
            )
    return out


class Layers:
    """The layers of one network; `after` collects what train mode changes."""

    def __init__(self, state_dict: StateDict, train: bool):
        self.state = {name: np.asarray(array, np.float64) for name, array in state_dict.items()}
        self.train, self.after = train, {}

    def kernel(self, name: str) -> np.ndarray:
        if f"{name}.weight" in self.state:
            return self.state[f"{name}.weight"]
        weight, u, v = (self.state[f"{name}.weight_{part}"] for part in ("orig", "u", "v"))
        matrix = weight.reshape(len(weight), -1)
        if self.train:
            v = unit(matrix.T @ u)
            u = unit(matrix @ v)
            self.after |= {f"{name}.weight_u": u, f"{name}.weight_v": v}
        return weight / (u @ matrix @ v)

    def conv(self, name: str, x: Image, stride: int = 1, padding: int | None = None) -> Image:
        kernel = self.kernel(name)
        padding = kernel.shape[2] // 2 if padding is None else padding
        return convolve(x, kernel, self.state.get(f"{name}.bias", 0.0), stride, padding)

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self.state[f"{name}.weight"].T + self.state[f"{name}.bias"]

    def batch_norm(self, name: str, x: Image) -> Image:
        mean, variance = (self.state[f"{name}.running_{part}"] for part in ("mean", "var"))
        if self.train:
            count = x[:, 0].size
            old = {"running_mean": mean, "running_var": variance}
            mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3))
            new = {"running_mean": mean, "running_var": variance * count / (count - 1)}
            self.after |= {f"{name}.{part}": 0.9 * old[part] + 0.1 * new[part] for part in old}
        shape = (1, -1, 1, 1)
        out = (x - mean.reshape(shape)) / np.sqrt(variance.reshape(shape) + 1e-5)
        if f"{name}.weight" not in self.state:
            return out
        return out * self.state[f"{name}.weight"].reshape(shape) + self.state[f"{name}.bias"].reshape(shape)

    def norm(self, name: str, x: Image) -> Image:
        """Batch norm where there are statistics, instance norm where there are none."""
        if f"{name}.running_mean" in self.state:
            return self.batch_norm(name, x)
        return (x - x.mean((2, 3), keepdims=True)) / np.sqrt(x.var((2, 3), keepdims=True) + 1e-5)

    def spade(self, name: str, x: Image, layout: Image) -> Image:
        hidden = np.maximum(self.conv(f"{name}.mlp_shared.0", nearest(layout, *x.shape[2:])), 0)
        gamma, beta = (self.conv(f"{name}.mlp_{part}", hidden) for part in ("gamma", "beta"))
        return self.norm(f"{name}.param_free_norm", x) * (1 + gamma) + beta

    def block(self, name: str, x: Image, layout: Image) -> Image:
        shortcut = x
        if any(entry.startswith(f"{name}.conv_s.") for entry in self.state):
            shortcut = self.conv(f"{name}.conv_s", self.spade(f"{name}.norm_s", x, layout))
        for i in range(2):
            x = self.conv(f"{name}.conv_{i}", leaky_relu(self.spade(f"{name}.norm_{i}", x, layout)))
        return shortcut + x


def generator(
    state_dict: StateDict, layout: Image, z: np.ndarray | None, upsampling: str, train: bool
) -> tuple[Image, Layers]:
    """SPADE's, or DAGAN's where the state dict has attentions."""
    layers = Layers(state_dict, train)
    factor = 2 ** {"normal": 5, "more": 6, "most": 7}[upsampling]
    rows, columns = layout.shape[2] // factor, layout.shape[3] // factor
    if z is None:
        x = layers.conv("fc", nearest(layout, rows, columns))
    else:
        x = layers.linear("fc", z).reshape(len(z), -1, rows, columns)
    x = layers.block("head_0", x, layout)
    x = layers.block("G_middle_0", double(x), layout)
    x = layers.block("G_middle_1", x if upsampling == "normal" else double(x), layout)
    entering = x
    for i in range(5 if upsampling == "most" else 4):
        entering = double(x)
        x = layers.block(f"up_{i}", entering, layout)
    if "conv_64.weight" in state_dict:
        x = attended(layers, layers.conv("conv_64", entering), x)
    return np.tanh(layers.conv("conv_img", leaky_relu(x))), layers


def attended(layers: Layers, earlier: Image, x: Image) -> Image:
    """Channel attention plus spatial attention."""
    means = np.concatenate([earlier, x], 1).mean((2, 3), keepdims=True)
    gate = sigmoid(layers.conv("cab.conv2", np.maximum(layers.conv("cab.conv1", means), 0)))
    pooled = np.stack([x.mean(1), x.max(1)], 1)
    return gate * x + earlier + x * sigmoid(layers.conv("spatialAtt.conv", pooled))


def discriminator(
    state_dict: StateDict, x: Image, scales: int, stages: int, norm: str, train: bool
) -> tuple[list[list[Image]], Layers]:
    """Outputs of all stages of all scales."""
    layers, out = Layers(state_dict, train), []
    for scale in range(scales):
        name = f"discriminator_{scale}.model"
        outputs = [leaky_relu(layers.conv(f"{name}0.0", x, 2, 2))]
        for n in range(1, stages):
            outputs.append(normed(layers, f"{name}{n}.0", outputs[-1], 1 if n == stages - 1 else 2, 2, norm))
        out.append([*outputs, layers.conv(f"{name}{stages}.0", outputs[-1], 1, 2)])
        x = halve(x)
    return out, layers


def encoder(
    state_dict: StateDict, image: Image, count: int, norm: str, train: bool
) -> tuple[np.ndarray, np.ndarray, Layers]:
    """(mu, logvar) of images that have the encoder's size already."""
    layers = Layers(state_dict, train)
    for i in range(1, count + 1):
        image = normed(layers, f"layer{i}", image, 2, 1, norm)
    flat = image.reshape(len(image), -1)
    return layers.linear("fc_mu", flat), layers.linear("fc_var", flat), layers


def normed(layers: Layers, name: str, x: Image, stride: int, padding: int, norm: str) -> Image:
    """Convolution, norm, leaky ReLU; the first two are parts 0 and 1 of a sequence unless there is no norm."""
    if norm == "none":
        return leaky_relu(layers.conv(name, x, stride, padding))
    return leaky_relu(layers.norm(f"{name}.1", layers.conv(f"{name}.0", x, stride, padding)))
