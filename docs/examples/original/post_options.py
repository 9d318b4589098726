"""The two further posts of the original mlq's README: one with a callback, one for a listener by its name."""
# fmt: off

from mlq_cli import MLQ

mlq = MLQ('example_app', 'localhost', 6379, 0)

with_callback = mlq.post('message', callback='http://localhost:5001/some_callback')
by_name = mlq.post('message', functions=['my_func'])
