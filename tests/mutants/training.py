"""Seeded bugs of training: tasks, the loop, checkpoints, what is watched, recipes as they are told."""

from mutant import Mutant

LOOP = "compiler/training/loop.py"
CHECKPOINT = "compiler/checkpoint.py"
SUPER = "compiler/tasks/super_resolution.py"
GOES_ON = "tests/test_checkpoint.py::test_a_training_that_failed_goes_on"
TASKS = "tests/test_tasks.py"
WATCHING = "tests/test_watching.py"

MUTANTS: list[Mutant] = [
    Mutant(
        "a resumed epoch draws its order anew",
        LOOP,
        "torch.randperm(length(self.dataset)) if place.order is None else place.order",
        "torch.randperm(length(self.dataset))",
        GOES_ON,
    ),
    Mutant("a resumed epoch begins at its first batch", LOOP, "[place.batch :]", "[:]", GOES_ON),
    Mutant(
        "the schedule is not kept",
        LOOP,
        '"optimizer": self.optimizer, "schedule": self.schedule}',
        '"optimizer": self.optimizer}',
        GOES_ON,
    ),
    Mutant(
        "Python's random numbers are not kept",
        CHECKPOINT,
        '    random.setstate(held["python"])\n',
        "",
        GOES_ON,
    ),
    Mutant(
        "a save may be half written",
        CHECKPOINT,
        "write(self.checkpoint.path, data.getvalue())",
        "self.checkpoint.path.write_bytes(data.getvalue()); write(self.checkpoint.path, data.getvalue())",
        "tests/test_checkpoint.py::test_a_failed_save_leaves_the_last_one",
    ),
    Mutant(
        "Ctrl-C does not save",
        LOOP,
        "stage is not None and (stopped() or stage.due(progress.step))",
        "stage is not None and stage.due(progress.step)",
        "tests/test_checkpoint.py::test_ctrl_c_saves_the_step_and_stops",
    ),
    Mutant(
        "another training is taken up",
        CHECKPOINT,
        "        if any(changed):\n",
        "        if False:\n",
        "tests/test_checkpoint.py::test_another_training_is_refused",
    ),
    Mutant(
        "a training of no epochs leaves no trace",
        LOOP,
        "(place.epoch < plan.epochs or not stage.begun)",
        "place.epoch < plan.epochs",
        "tests/test_checkpoint.py::test_no_training_is_kept_as_one_and_another_is_refused",
    ),
    Mutant(
        "PSNR of the amplitude",
        SUPER,
        "10 * torch.log10(options.peak**2 / error)",
        "10 * torch.log10(options.peak / error)",
        f"{TASKS}::test_psnr_is_the_closed_form",
    ),
    Mutant(
        "the border stays on the right", SUPER, "cut : width - cut]", "cut:]", f"{TASKS}::test_the_border_is_left_out"
    ),
    Mutant(
        "luma of blue, green and red",
        SUPER,
        "difference.new_tensor(LUMA)",
        "difference.new_tensor(LUMA[::-1])",
        f"{TASKS}::test_luma_is_the_one_of_matlab",
    ),
    Mutant(
        "the estimate counts biases a hundred times",
        "compiler/coded_size.py",
        "HEAD + BIAS * biases + SCALE",
        "HEAD + 100 * BIAS * biases + SCALE",
        f"{WATCHING}::test_the_estimate_is_near_the_file",
    ),
    Mutant(
        "the line looks at every step",
        "cli/live.py",
        "self._now() + PAUSE",
        "self._now()",
        f"{WATCHING}::test_the_line_looks_at_the_scalars_now_and_then",
    ),
    Mutant(
        "data is known by its beginning alone",
        "compiler/training/data.py",
        "*range(max(0, count - ENDS), count)",
        "*range(0)",
        "tests/test_checkpoint.py::test_other_data_of_the_same_length_is_refused_where_it_can_be_told",
    ),
]
