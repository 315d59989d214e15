"""Images from semantic layouts: the flow of a run, what is measured, its report, and the network in use."""
