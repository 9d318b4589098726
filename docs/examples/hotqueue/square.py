"""HotQueue's tutorial, "Writing a Queue Worker", with only our names.

Waits for numbers until Ctrl-C. Run a second one to distribute the work.
"""
# fmt: off

from mlq_cli import MLQ

mlq = MLQ("myqueue", host="localhost", port=6379, db=0)

@mlq.worker
def square(num):
    print(num * num, flush=True)

square()
