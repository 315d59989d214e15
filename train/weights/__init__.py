"""Files of weights: arrays by name, read without running code of the file, and written."""
