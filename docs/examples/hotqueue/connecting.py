"""HotQueue's tutorial, "Connecting to Redis" and "Putting Items Onto the Queue", with only our names.

`HotQueue("myqueue", …)` is `MLQ("myqueue", …)`, `put` is `post`, several at once are `post_many`.
"""
# fmt: off

from decimal import Decimal

from mlq_cli import MLQ

mlq = MLQ("myqueue", host="localhost", port=6379, db=0)
# over a unix socket: MLQ.from_profile(redis_url="unix:///tmp/redis.sock", namespace="myqueue")

mlq.post(4)
mlq.post(5)

mlq.post_many([6, "my message", 7])

mlq.post(Decimal('1.4'))

my_messages = ({"number": number} for number in range(1000))
mlq.post_many(my_messages)
