-- For the verbs that empty a full Redis. At `maxmemory` a script may not begin with a command that takes memory, but
-- after any other write it may go on: so this one comes first, and changes nothing.
redis.call('ZREM', workers_key, '')
