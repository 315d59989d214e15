"""Variational bounds on mutual information, in nats (Poole et al., ICML 2019; Cheng et al., ICML 2020).

A batch of K pairs (x_i, y_i) gives K^2 scores S[i, j] = f(x_j, y_i): rows are y, columns are x, the diagonal
holds the joint samples and the rest samples of p(x)p(y). The transposed scores contrast y's for each x.

| file | estimators |
|---|---|
| `lower` | what is maximised: BA, TUBA, NWJ, DV, MINE, JS, SMILE, InfoNCE, I_alpha, and the UBA plug-in |
| `upper` | what is minimised: VUB, leave-one-out, CLUB, sampled CLUB, and their variational forms |
| `conditional` | log densities of q(y|x), as scores and per pair, and the losses that train q |
| `rows` | the scores whole, or a block of rows at a time when K^2 is too many to hold |
"""
