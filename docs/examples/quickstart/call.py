"""Post a call of a function of mypkg.tasks; a worker that was started with `--calls mypkg.tasks` runs it."""

from functools import partial

from mypkg.tasks import average

from mlq_cli import MLQ

with MLQ() as mlq:
    job_id = mlq.post_call(partial(average, [1, 2, 6], digits=1))
    print(mlq.get_job(job_id)["msg"])
    print(mlq.wait(job_id, timeout=60))
