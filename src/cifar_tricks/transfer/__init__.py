"""Nets that were trained on ImageNet, and the features of their frozen layers."""
