"""Run the whole example: a worker, the app, and the embedded server that mlq starts by itself. Ctrl-C ends it.

python docs/examples/web/run.py [PORT]        where mlq and scikit-learn are installed
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main(port):
    """Start both, and stop both when one has ended or somebody has had enough. Returns the exit code."""
    os.environ.setdefault("MLQ_NAMESPACE", "web_example")  # beside your own jobs, not among them
    os.environ["OMP_NUM_THREADS"] = "1"  # one drawing is too little work to share among threads
    secret = subprocess.run([sys.executable, "-m", "mlq_cli", "config", "secret"], stdout=subprocess.PIPE, text=True)
    os.environ["WEBHOOK_SECRET"] = secret.stdout.strip()
    worker = ("mlq_cli", "worker", "--path", str(HERE), "--fn", "tasks:read_digit", "--setup", "tasks:load")
    app = ("uvicorn", "app:app", "--app-dir", str(HERE), "--port", port)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # is to end both of them, too
    running = [subprocess.Popen([sys.executable, "-m", *words]) for words in (worker, app)]
    print(f"draw a digit at http://127.0.0.1:{port}", flush=True)
    try:
        os.wait()
    except KeyboardInterrupt:
        pass
    for process in running:
        process.terminate()
    return max(abs(process.wait()) for process in running) and 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "8000"))
