"""The worker: reads a row to measure from each line, and answers it with a line of JSON on its standard output."""

from __future__ import annotations

import json
import os
import sys
import warnings
from typing import Any


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a model prints must not mix with the answers
    from .vision import repair

    repair()
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    from .catalogue import row
    from .measure import measure

    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        answers.write(json.dumps(measure(row(request["name"]), request["timed"])) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
