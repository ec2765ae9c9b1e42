"""The ordinary training loop, for those who have none of their own: what `compile` runs and the benchmarks share."""

from .data import Data as Data
from .data import batches as batches
from .data import example as example
from .judge import accuracy as accuracy
from .judge import check_task as check_task
from .judge import judged as judged
from .loop import Plan as Plan
from .loop import Progress as Progress
from .loop import train as train
