"""The report of a run: the page, its tables and its figures."""
