"""Ours in HotQueue's manner: a loop over messages in the caller's own process."""

from peer_mlq import bulk, post, queue

__all__ = ["bulk", "post"]

if __name__ == "__main__":
    from ticking import job

    for msg in queue.consume():
        job(msg)
