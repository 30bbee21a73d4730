"""The phases of `bench.gpu_check`: correctness, speed and synchronizations of the engine on a GPU."""
