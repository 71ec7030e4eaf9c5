"""What comes from elsewhere, checked: CIFAR-10, weights from ImageNet, a photo."""
