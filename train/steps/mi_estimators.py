"""The estimators of two toy studies of mutual information, with their published settings.

Cheng et al., "CLUB", ICML 2020 (`club_study`) and Poole et al., "On Variational Bounds of Mutual Information", ICML
2019 (`poole_study`).
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from jaxmodels.critics import Initialisation
from train.bounds import AtLeast, Positive

Network = Literal["separable", "concatenated"]
CriticBound = Literal["nwj", "tuba", "infonce", "js", "smile", "mine", "dv-sampled", "interpolated"]
ConditionalBound = Literal["club", "club-sampled", "leave-one-out", "leave-one-out-coded", "vub", "infonce"]


@dataclass(frozen=True, kw_only=True)
class Critic:
    """A bound that a critic f(x, y) maximises; the defaults are those of the notebook of Poole et al.

    Attributes:
      bound: a function of `objectives.mutual_information.lower`.
      network: of the critic.
      hidden: its hidden layers.
      embedding: width of what a separable critic multiplies.
      positive: its scores pass a softplus, as in CLUB's InfoNCE.
      joint_among_marginal: NWJ averages over all K^2 pairs, as in CLUB's code.
      baseline: hidden layers of log a(y), for `tuba` and `interpolated`.
      alpha_logit: of `interpolated`.
      shift: of `js`.
      clip: of `smile`.
      ema_rate: of `mine`.
      initialisation: of all networks.
      learning_rate: of Adam.
      epsilon: of Adam; that of Keras.
    """

    bound: CriticBound
    network: Network = "separable"
    hidden: tuple[int, ...] = (256, 256)
    embedding: int = 32
    positive: bool = False
    joint_among_marginal: bool = False
    baseline: tuple[int, ...] = (512, 512)
    alpha_logit: float = 0.0
    shift: float = 1.0
    clip: float = 5.0
    ema_rate: float = 0.01
    initialisation: Initialisation = "glorot"
    learning_rate: float = 5e-4
    epsilon: float = 1e-7


@dataclass(frozen=True, kw_only=True)
class Conditional:
    """An estimate with a learned Gaussian q(y|x); the defaults are those of the notebook of CLUB.

    Attributes:
      bound: a function of `objectives.mutual_information.upper`, or InfoNCE with scores log q(y_i|x_j).
      hidden: hidden layers of the mean and of the log-variance; the published hidden size of 15 is (7,).
      learning_rate: of Adam.
      epsilon: of Adam; that of PyTorch.
    """

    bound: ConditionalBound
    hidden: tuple[int, ...] = (7,)
    learning_rate: float = 0.005
    epsilon: float = 1e-8


@dataclass(frozen=True, kw_only=True)
class Known:
    """The same with the true p(y|x) of correlated Gaussians: nothing is learned.

    Attributes:
      bound: see `Conditional`.
    """

    bound: ConditionalBound


Estimator = Critic | Conditional | Known


def side(estimator: Estimator) -> str:
    """Which side of the truth the estimate is on in expectation, and when (see `objectives.mutual_information`)."""
    match estimator:
        case Critic(bound="mine" | "dv-sampled"):
            return "neither: a lower bound but for the logarithm of a batch mean"
        case Critic(bound="smile"):
            return "neither: clipped"
        case Critic(joint_among_marginal=True):
            return "lower for any critic, but for the joint pairs among the marginal ones"
        case Critic(bound="js", shift=0.0):
            return "lower for any critic; 1/e nats low at best"
        case Critic() | Known(bound="infonce") | Conditional(bound="infonce"):
            return "lower, for any critic"
        case Known():
            return "upper"
        case _:
            return "upper for the true p(y|x) alone: no bound with a learned q"


@dataclass(frozen=True, kw_only=True)
class CLUBStudy:
    """Settings of the toy study of CLUB."""

    hidden_size: Annotated[int, AtLeast(2)] = 15
    """Hidden units of a critic; the two networks of q(y|x) have half as many each, rounded down. The published small
    bias of CLUB belongs to this size: q under-fits."""
    learning_rate: Annotated[float, Positive()] = 0.005
    """Of Adam."""
    wide_hidden_size: Annotated[int, AtLeast(2)] = 256
    """Hidden size of the wide q, which fits."""
    wide_learning_rate: Annotated[float, Positive()] = 1e-3
    """Of Adam, for the wide q."""


@dataclass(frozen=True, kw_only=True)
class PooleStudy:
    """Settings of the toy study of Poole et al."""

    network: Network = "concatenated"
    """The critic: one network of [x, y], or the product of two embeddings."""
    hidden: tuple[Annotated[int, AtLeast(1)], ...] = (256, 256)
    """Hidden layers of a critic."""
    embedding: Annotated[int, AtLeast(1)] = 32
    """Width of the embeddings of a separable critic."""
    baseline: tuple[Annotated[int, AtLeast(1)], ...] = (512, 512)
    """Hidden layers of the learned log-baseline of TUBA and I_alpha."""
    learning_rate: Annotated[float, Positive()] = 5e-4
    """Of Adam."""


def club_study(config: CLUBStudy) -> dict[str, Estimator]:
    """The estimators of CLUB's toy study by name; `L1Out, coded` is the one that its figure shows."""
    critic = {
        "network": "concatenated",
        "hidden": (config.hidden_size,),
        "initialisation": "torch",
        "learning_rate": config.learning_rate,
        "epsilon": 1e-8,
    }
    q = {"hidden": (config.hidden_size // 2,), "learning_rate": config.learning_rate}
    wide = {"hidden": (config.wide_hidden_size // 2,), "learning_rate": config.wide_learning_rate}
    return {
        "NWJ": Critic(bound="nwj", joint_among_marginal=True, **critic),
        "MINE": Critic(bound="dv-sampled", **critic),
        "InfoNCE": Critic(bound="infonce", positive=True, **critic),
        "L1Out, coded": Conditional(bound="leave-one-out-coded", **q),
        "L1Out": Conditional(bound="leave-one-out", **q),
        "VUB": Conditional(bound="vub", **q),
        "CLUB": Conditional(bound="club", **q),
        "CLUBSample": Conditional(bound="club-sampled", **q),
        "CLUB, wide q": Conditional(bound="club", **wide),
    }


def poole_study(config: PooleStudy) -> dict[str, Estimator]:
    """The estimators of Poole et al. by name, and two more on their critics: MINE's moving average, and SMILE.

    `JS` adds the 1 that their notebook leaves out (`JS, notebook`). `TNCE` has the true conditional.
    """
    shared = {
        "network": config.network,
        "hidden": config.hidden,
        "embedding": config.embedding,
        "baseline": config.baseline,
        "learning_rate": config.learning_rate,
    }
    return {
        "NWJ": Critic(bound="nwj", **shared),
        "TUBA": Critic(bound="tuba", **shared),
        "InfoNCE": Critic(bound="infonce", **shared),
        "JS": Critic(bound="js", **shared),
        "JS, notebook": Critic(bound="js", shift=0.0, **shared),
        "I_0.01": Critic(bound="interpolated", alpha_logit=-5.0, **shared),
        "I_0.50": Critic(bound="interpolated", alpha_logit=0.0, **shared),
        "I_0.99": Critic(bound="interpolated", alpha_logit=5.0, **shared),
        "MINE": Critic(bound="mine", **shared),
        "SMILE": Critic(bound="smile", **shared),
        "TNCE": Known(bound="infonce"),
    }
