"""The harness: entries found, planned, run and shown."""

# For os.environ, before numpy is imported: the last digits of what BLAS sums depend on how many threads share it.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}

# Environment variable that names the socket of openqueues.warm.
WARM = "OPENQUEUES_WARM"
