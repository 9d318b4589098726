"""A listener as the original mlq's README describes it, with a reaper beside it. Listens until Ctrl-C."""
# fmt: off

from mlq_cli import MLQ

mlq = MLQ('example_app', 'localhost', 6379, 0)

def my_func(msg, args):
    args['update_progress'](50)
    return 'widget', {'id': args['full_message']['id'], 'msg': args['full_message']['msg']}

mlq.create_listener(my_func)
mlq.create_reaper(call_how_often=60, job_timeout=300, max_retries=5)
