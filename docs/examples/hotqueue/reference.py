"""The examples of HotQueue's API reference, with only our names; each prints what that page shows."""
# fmt: off

from mlq_cli import MLQ

mlq = MLQ("myqueue", host="localhost", port=6379, db=0)

# consume
mlq.post_many(["my message", "another message"])
for msg in mlq.consume(timeout=1):
    print(msg)

# get
mlq.post("my message")
mlq.post("another message")
print(mlq.pop())
print(mlq.pop())

# put in bulk
mlq.post_many(["my message", "another message", "third message"])
print(len(mlq))

# clear
mlq.clear()
print(len(mlq), mlq.pop())

# worker(timeout=1)
mlq.post_many(["my message", "another message"])

@mlq.worker(timeout=1)
def printer(msg):
    print(msg)

printer()

# worker without any arguments: this one would wait for ever, so another thread would have to end it
@mlq.worker
def forever(msg):
    print(msg)

# a method as a worker; timeout=0 takes what is there, as block=False does
class Printer:
    prefix = "method:"

    @mlq.worker(timeout=0)
    def show(self, msg):
        print(self.prefix, msg)

mlq.post("my message")
Printer().show()
