"""params.yaml with trainings of moments."""

_COMMON = """\
model: model1
trick: baseline
device: cpu
records: use
train: {learning_rate: 0.05, batch_size: 16, validations_per_epoch: 2, early_stop_count: 4}
models:
  model1: {filters: [4], kernel_size: 3, stride: 1, padding: 1, pool: 4, hidden: [8]}
  model2: {filters: [4], kernel_size: 4, stride: 4, padding: 0, pool: null, hidden: [8]}
reference: {filters: [6], kernel_size: 3, stride: 1, padding: 1, pool: 4, hidden: [8]}
factorial: {}
visualize:
  image: data/images/photo.jpg
  layers:
    resnet18: {first: conv1, filters: [14, 26, 32, 49, 52], last: layer4, channels: [0, 1, 2]}
tricks:
  baseline: {}
  augment: {padding: 4, flip_probability: 0.5, seed: 0}
  leaky_relu: {negative_slope: 0.1}
"""
# Of each kind of stage one or two.
PIPELINE = (
    _COMMON
    + """\
improve:
  best: {model: model1, tricks: {augment: {}, batch_norm: {}}}
combine:
  both: {model: model2, tricks: {dropout: {}, adam: {}}}
sensitivity:
  batch_8: {model: model2, train: {batch_size: 8}}
transfer: {backbones: [resnet18, efficientnet_lite0], learning_rate: 0.0005, batch_size: 16,
           image_size: 32, cache_gb: 1.0}
scale: quick  # a comment
scales:
  quick: {train_images: 64, validation_images: 32, test_images: 60, num_epochs: 2,
          seeds: [0], precision: fp32, threads: 1}
"""
)
# Each of the README's commands finds what it names: two nets, three tricks, seeds 3 to 5 of `full`.
README = (
    _COMMON
    + """\
  dropout: {probability: 0.25}
  adam: {learning_rate: 0.001, weight_decay: 0.00001}
improve: {}
combine: {}
sensitivity: {}
transfer: {backbones: [resnet18], learning_rate: 0.0005, batch_size: 16,
           image_size: 32, cache_gb: 1.0}
scale: quick
scales:
  quick: &tiny {train_images: 64, validation_images: 32, test_images: 60, num_epochs: 2,
                seeds: [0], precision: fp32, threads: 1}
  full: {<<: *tiny, seeds: [0, 3, 5]}
"""
)
