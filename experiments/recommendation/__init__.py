"""Users and items: the flow of a run, what is measured, drawn and written of it, and serving."""
