"""The first snippet of the original mlq's README; only the import is another one. Needs Redis on localhost:6379."""
# ruff: noqa: I001
# fmt: off

import time
from mlq_cli import MLQ

# Create MLQ: namespace, redis host, redis port, redis db
mlq = MLQ('example_app', 'localhost', 6379, 0)

job_id = mlq.post({'my_data': 1234})
result = None
while not result:
    time.sleep(0.1)
    job = mlq.get_job(job_id)
    result = job['result']
