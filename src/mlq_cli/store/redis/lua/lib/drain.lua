-- For the verbs that empty a full Redis. At `maxmemory` a script may not begin with a command that takes memory, but
-- after any other write it may go on: so this one comes before such a command, and changes nothing.
local function drain()
  redis.call('ZREM', workers_key, '')
end
