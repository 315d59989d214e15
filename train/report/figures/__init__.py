"""Pictures of a run: arrays in, one PNG file out, no model and no global plotting state."""

from train.report.figures.bands import Panel, bands
from train.report.figures.charts import distance_scatter, heat_map, latent_histograms
from train.report.figures.confusion import confusion
from train.report.figures.grids import image_grid
from train.report.figures.loss_curves import Curve, curves
from train.report.figures.scatter import class_scatter
from train.report.figures.staircase import Staircase, staircases

__all__ = [
    "Curve",
    "Panel",
    "Staircase",
    "bands",
    "class_scatter",
    "confusion",
    "curves",
    "distance_scatter",
    "heat_map",
    "image_grid",
    "latent_histograms",
    "staircases",
]
