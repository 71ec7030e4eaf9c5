"""Where the trainings of ``make share`` run: on this machine, on Ray or on Slurm."""
