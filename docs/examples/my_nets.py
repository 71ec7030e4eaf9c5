"""A net of one's own: copy this file to the repository's root, and see docs/your-net.md."""

from torch import Tensor, nn


class TinyNet(nn.Module):
    """Two convolutions and a linear layer: images (B, 3, 32, 32) to logits (B, 10)."""

    def __init__(self, width: int = 16, dropout: float = 0.1) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1),
            nn.GroupNorm(2, width),
            nn.ReLU(),
            nn.MaxPool2d(4),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.GroupNorm(2, 2 * width),
            nn.ReLU(),
            nn.MaxPool2d(4),
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * width * 4, 10)

    def forward(self, images: Tensor) -> Tensor:
        features = self.features(images)
        logits: Tensor = self.head(self.dropout(features.view(len(features), -1)))
        return logits
