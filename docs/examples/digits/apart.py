"""A place of the demo's own: a private server and namespace, a folder, workers. All of it is gone afterwards."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
PROFILE = "namespace: digits\nredis: {data: redis}\n"  # no address: an embedded server, its data beside this profile


@contextmanager
def apart():
    """Yield a folder whose profile every `mlq` and `MLQ()` in here uses. Nothing of the user's is read or written."""
    for name in [name for name in os.environ if name.startswith("MLQ_")]:
        del os.environ[name]
    folder = Path(tempfile.mkdtemp(prefix="mlq-digits-"))
    (folder / "mlq.yaml").write_text(PROFILE)
    os.environ["MLQ_PROFILE"] = str(folder / "mlq.yaml")
    os.environ["DIGITS_FOLDER"] = str(folder)  # where `load_model` finds the model
    os.environ["OMP_NUM_THREADS"] = "1"  # one image is too little work to share among threads
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that what follows happens then, too
    try:
        yield folder
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # impatience must not leave a server behind
        subprocess.run(command("redis", "stop", "--quiet"))
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def worker(*options):
    """Run `mlq worker` beside us and stop it at the end; what it says is shown when something went wrong."""
    print("$ mlq worker", *options, "2> worker.log &", flush=True)
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command("worker", "--path", str(HERE), *options), stderr=log)
        try:
            yield
        except Exception:
            log.seek(0)
            print("worker.log:", log.read().decode(), sep="\n", file=sys.stderr)
            raise
        finally:
            process.terminate()
            process.wait()


def mlq(*words):
    """Run a command of mlq, and show it as if it had been typed. Raises when it fails."""
    print("$ mlq", *words, flush=True)
    subprocess.run(command(*words), check=True)


def command(*words):
    """Return what runs `mlq` with these words, on PATH or not."""
    return [sys.executable, "-m", "mlq_cli", *words]
