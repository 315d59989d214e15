"""How any system is trained: loop, devices, seeds, checkpoints, run directory."""
