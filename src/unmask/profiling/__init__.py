"""What trainings will take on this machine: a few real steps, timed, and what follows from them."""
