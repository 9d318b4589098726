"""HotQueue's tutorial, "Custom Serialization", with only our names.

mlq carries messages as msgpack, which other languages read too. A serializer of your own goes around `post` and `pop`.
"""
# fmt: off

import json

from mlq_cli import MLQ

mlq = MLQ("myqueue", host="localhost", port=6379, db=0)

mlq.post({'name': "Richard Henry", 'eyes': "blue"})
as_it_is = mlq.pop()

mlq.post(json.dumps({'name': "Richard Henry", 'eyes': "blue"}))
as_json = json.loads(mlq.pop())

class DummySerializer:
    """Serialization class that doesn't do anything."""
    @staticmethod
    def dumps(obj):
        return obj
    @staticmethod
    def loads(data):
        return data

mlq.post(DummySerializer.dumps("mymessage"))
as_text = DummySerializer.loads(mlq.pop())
