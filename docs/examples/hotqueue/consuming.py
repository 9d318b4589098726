"""HotQueue's tutorial, "Consuming the Queue", with only our names. Waits for the next message until Ctrl-C."""
# fmt: off

from mlq_cli import MLQ

mlq = MLQ("myqueue", host="localhost", port=6379, db=0)

for item in mlq.consume():
    print(item, flush=True)
