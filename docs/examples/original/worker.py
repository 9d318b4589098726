"""The second snippet of the original mlq's README; only the import is another one. Listens until Ctrl-C."""
# ruff: noqa: I001
# fmt: off

import asyncio
from mlq_cli import MLQ

mlq = MLQ('example_app', 'localhost', 6379, 0)

def simple_multiply(params_dict, *args):
    return params_dict['my_data'] * 2

async def main():
    print("Running, waiting for messages.")
    mlq.create_listener(simple_multiply)

if __name__ == '__main__':
    asyncio.run(main())
