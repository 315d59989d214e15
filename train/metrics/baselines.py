"""What a score is worth: the same score of codes that no training of ours has made.

The linear baseline is a principal component analysis of the pixels. The random-encoder baseline is the codes
of the experiment's own network as it was initialised; it needs no function here.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from sklearn.decomposition import PCA


@dataclass(frozen=True)
class LinearCodes:
    """A linear autoencoder of images.

    Attributes:
      mean: the mean image, flat.
      components: orthonormal rows, largest variance first.
      image_shape: the shape of one image.
    """

    mean: Float[np.ndarray, " D"]
    components: Float[np.ndarray, "L D"]
    image_shape: tuple[int, ...]

    def encode(self, images: Float[np.ndarray, "N *pixels"]) -> Float[np.ndarray, "N L"]:
        """Returns the images' coordinates along the components, in the images' unit."""
        return (np.asarray(images, np.float32).reshape(len(images), -1) - self.mean) @ self.components.T

    def decode(self, codes: Float[np.ndarray, "N L"]) -> Float[np.ndarray, "N *pixels"]:
        """Returns the nearest images of these coordinates; intensities may leave the images' range."""
        return (codes @ self.components + self.mean).reshape(len(codes), *self.image_shape)


def fit_linear_codes(
    train_images: Float[np.ndarray, "M *pixels"], latent_dim: int, seed: int = 0
) -> LinearCodes:
    """Returns the first `latent_dim` principal components of the training images, by randomised SVD.

    Raises:
      ValueError: `latent_dim` exceeds the number of images or of pixels.
    """
    flat = np.asarray(train_images, np.float32).reshape(len(train_images), -1)
    found = PCA(latent_dim, svd_solver="randomized", random_state=seed).fit(flat)
    return LinearCodes(found.mean_, np.asarray(found.components_), tuple(train_images.shape[1:]))
