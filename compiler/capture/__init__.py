"""nn.Module + example inputs -> Graph."""

from .whole import capture as capture
