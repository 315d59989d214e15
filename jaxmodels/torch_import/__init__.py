"""Official PyTorch state dicts to our variables, one file per published layout."""
