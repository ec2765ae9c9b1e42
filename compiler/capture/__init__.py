"""nn.Module + example inputs -> Graph, or the graphs of its largest parts that can be captured."""

from .islands import islands as islands
from .whole import capture as capture
