"""Which training tricks help a small CIFAR-10 net?

The pipeline is in ``dvc.yaml``; each stage is a short script in ``stages/`` that calls this
package. Start with :mod:`cifar_tricks.parameters` (what may vary),
:mod:`cifar_tricks.training.recipe` (what a training run consists of) and
:func:`cifar_tricks.training.loop.fit` (the only training loop).
"""
