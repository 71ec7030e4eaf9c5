"""Which training tricks help a small CIFAR-10 net?

The pipeline is in ``dvc.yaml``; each stage is a short script in ``stages/`` that calls one module
of this package. Start with :mod:`cifar_tricks.params` (what may vary), :mod:`cifar_tricks.recipe`
(what a training run consists of) and :func:`cifar_tricks.training.fit` (the only training loop).
"""
