"""Real machine learning through the queue: train a model, read 360 handwritten digits, mend a job that failed.

    make demo        or, where mlq and scikit-learn are installed:  python docs/examples/digits/demo.py

To be read from top to bottom. What the jobs do stands in tasks.py; apart.py gives this demo a server and a folder of
its own, and leaves nothing behind. The images are scikit-learn's own 1797, of 8 x 8 pixels. The exit code is 0 when all
went well and at least nine digits in ten were read right.
"""

import sys
from statistics import median, quantiles

import numpy
from apart import apart, mlq, worker
from tasks import split

from mlq_cli import MLQ, JobFailed, State

WANTED = 0.9  # accuracy


def main():
    """Tell the story, and return the exit code."""
    with apart() as folder, MLQ() as jobs:
        title("Train a model in a job that says how far it is")
        train(jobs, folder)

        title("Read the 360 images that it has never seen, with two executors")
        # All listeners of a worker run for a job, unless the job names those that it wants.
        listeners = ("--fn", "tasks:classify", "--fn", "tasks:classify_file")
        with worker(*listeners, "--setup", "tasks:load_model", "--executors", "2"):
            accuracy = classify(jobs)

            title("Let a job fail, look at it, mend the cause, and run it again")
            fail_and_mend(jobs, folder)

    print(f"\n{'All went well' if accuracy >= WANTED else 'Too few'}: {accuracy:.1%} read right.")
    return 0 if accuracy >= WANTED else 1


def train(jobs, folder):
    """Post one long job and follow it."""
    job_id = jobs.post({"folder": str(folder), "steps": 10}, queue="training")
    print(f"job {job_id} is posted; a worker for its queue, which stops when that is empty:")

    def show_progress():
        print(f" {jobs.get_job(job_id)['progress']}%", end="", flush=True)

    with worker("--fn", "tasks:train", "--queue", "training", "--burst"):
        print("trained:", end="", flush=True)
        jobs.wait_ended(job_id, timeout=60, on_progress=show_progress)
        print(" done")

    result = jobs.get_result(job_id)
    print(f"{result['rounds']} rounds through {result['images']} images: {jobs.get_job(job_id)['short_result']}")


def classify(jobs):
    """Post one job an image, wait for all of them, and print what came of it. Returns the accuracy."""
    _, _, images, answers = split()
    jobs.wait(jobs.post(images[0], functions=["classify"]), timeout=60)  # the worker is up

    job_ids = jobs.post_many(images, functions=["classify"])
    results = [jobs.wait(job_id, timeout=60) for job_id in job_ids]

    right = numpy.array([result["digit"] for result in results]) == answers
    print("\ndigit   images   right   accuracy")
    for digit in range(10):
        of_this = right[answers == digit]
        print(f"{digit:5}{len(of_this):9}{of_this.sum():8}{of_this.mean():11.1%}")
    print(f"  all{len(right):9}{right.sum():8}{right.mean():11.1%}")

    # A job's record knows when it was posted, when its listener began, and when it ended: seconds on Redis' clock.
    records = jobs.get_jobs(job_ids)
    took = max(r["processing_finished"] for r in records) - min(r["timestamp"] for r in records)
    print(f"\n{len(records)} jobs in {took:.2f} s: {len(records) / took:,.0f} jobs per second")
    print("                        median       p95")
    show_times("waiting", [r["processing_started"] - r["timestamp"] for r in records])
    show_times("running", [r["processing_finished"] - r["processing_started"] for r in records])

    loads = {result["executor"]: result["loads"] for result in results}
    print(f"executors: {len(loads)}, times that the model was loaded: {sum(loads.values())}")
    return right.mean()


def fail_and_mend(jobs, folder):
    """Post a job whose file is not there yet. It is not lost: it waits in the dead-letter queue."""
    file = folder / "late.npy"
    job_id = jobs.post({"path": str(file)}, functions=["classify_file"])
    try:
        jobs.wait(job_id, timeout=60)
    except JobFailed as failure:
        print(failure)
    mlq("dlq", "list")
    mlq("get", job_id, "--traceback")

    print("\nthe file arrives")
    _, _, images, answers = split()
    numpy.save(file, images[0])
    mlq("dlq", "retry", job_id)
    mlq("get", job_id, "--wait", "60s")
    print(f"the right answer: {answers[0]}, and {len(jobs.list_jobs(states=[State.DEAD]))} dead jobs are left")


def show_times(what, seconds):
    """Print the middle of a list of durations, and what 95 in 100 of them stay below."""
    print(f"{what:22}{median(seconds) * 1000:7.1f} ms{quantiles(seconds, n=20)[-1] * 1000:7.1f} ms")


def title(text):
    """Begin a chapter."""
    print(f"\n--- {text}\n")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
