"""How one update of one system is made: state, train_step, eval_step."""
