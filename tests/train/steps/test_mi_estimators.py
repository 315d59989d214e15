"""The settings of the two studies."""

from train.steps.mi_estimators import CLUBStudy, Conditional, Known, PooleStudy, club_study, poole_study, side


def test_settings_are_the_published_ones():
    club, poole = club_study(CLUBStudy()), poole_study(PooleStudy())
    assert club["CLUB"] == Conditional(bound="club", hidden=(7,), learning_rate=0.005, epsilon=1e-8)
    assert club["CLUB, wide q"].hidden == (128,) and club["CLUB, wide q"].learning_rate == 1e-3
    for name in ("NWJ", "MINE", "InfoNCE"):
        one = club[name]
        assert (one.network, one.hidden, one.initialisation) == ("concatenated", (15,), "torch")
        assert (one.learning_rate, one.epsilon) == (0.005, 1e-8)
    for name in ("NWJ", "TUBA", "InfoNCE", "JS", "I_0.01", "I_0.50", "I_0.99"):
        one = poole[name]
        assert (one.network, one.hidden, one.initialisation) == ("concatenated", (256, 256), "glorot")
        assert (one.learning_rate, one.epsilon, one.baseline) == (5e-4, 1e-7, (512, 512))
    assert [poole[f"I_{a}"].alpha_logit for a in ("0.01", "0.50", "0.99")] == [-5.0, 0.0, 5.0]


def test_every_estimator_says_which_side_it_is_on():
    sides = {name: side(one) for name, one in (club_study(CLUBStudy()) | poole_study(PooleStudy())).items()}
    for name in ("TUBA", "InfoNCE", "JS", "I_0.01", "I_0.99", "TNCE"):
        assert sides[name].startswith("lower"), name
    for name in ("MINE", "SMILE"):
        assert sides[name].startswith("neither"), name
    for name in ("CLUB", "CLUBSample", "L1Out", "VUB", "CLUB, wide q"):
        assert sides[name].startswith("upper for the true"), name
    assert side(Known(bound="club")) == "upper"
    assert "1/e" in sides["JS, notebook"] and "joint" in side(club_study(CLUBStudy())["NWJ"])
