"""HotQueue's tutorial, "Getting Items Off the Queue", with only our names: `get` is `pop`. Run connecting.py before."""
# fmt: off

from decimal import Decimal

from mlq_cli import MLQ

mlq = MLQ("myqueue", host="localhost", port=6379, db=0)

items = [mlq.pop() for _ in range(5)]
print(items)
dec = mlq.pop()
print(dec + Decimal('0.3'))
