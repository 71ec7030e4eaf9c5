"""Any table of runs, judged as the study judges its own: numpy, scipy and pandas are enough."""
