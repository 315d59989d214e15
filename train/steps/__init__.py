"""How one update of one system is made: state, train_step, eval_step.

A system's module has all that its users name: with the functions also the class of its settings (its Config), wherever
its networks are.
"""
