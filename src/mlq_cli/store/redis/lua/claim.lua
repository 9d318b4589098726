--- claim — give a worker up to `count` queued jobs, each under a lease.
-- in   queues (in order), count, worker, lane, token (random, new for each claim), lease (s), max_retries
-- out  'ok', empty, next_due, id, timeout, record, id, timeout, record, …
--      empty: 1 when the queues hold no more; next_due: seconds until a scheduled job is due, or ''
--      record: msgpack list of RECORD's values behind the id: what the executor is given, unread by the worker
-- Sending it again after a lost reply answers the same jobs: the token is remembered for a lease.
--@include drain call job move stats bell settle pulse due

local answer = {'ok', 0, ''}
local ids, fresh = {}, true

local receipt = claim_key(args.lane)
local last = redis.call('GET', receipt)
if last then
  last = cmsgpack.unpack(last)
  if last[1] == args.token then
    ids, fresh = last[2], false
  end
end

local function read(id)
  local job = redis.call('HMGET', job_key(id), 'state', 'attempt', 'timeout', 'timestamp', 'msg', 'token',
                         'functions', 'callback', 'retries', 'queue')
  if not job[5] then
    job[5] = redis.call('GET', msg_key(id))
  end
  return job
end

local function hand_out(id, job, attempt)
  local n = #answer
  answer[n + 1] = id
  answer[n + 2] = job[3] or ''
  answer[n + 3] = cmsgpack.pack({id, job[5], attempt, job[4], job[7], job[8], job[9], job[10]})
end

if not fresh then
  for _, id in ipairs(ids) do
    local job = read(id)
    if job[1] == 'running' and job[6] == args.token then
      hand_out(id, job, tonumber(job[2]))
    end
  end
  return answer
end

local lease_until, waited = instant(now + args.lease), 0
local function take(id, queue)
  local job = read(id)
  if job[1] ~= 'queued' then
    return  -- an entry without its job: the record is gone, there is nothing to run
  end
  local attempt = (job[2] or 0) + 1
  enter(id, queue, 'running', lease_until,
        'worker', args.worker, 'token', args.token, 'attempt', attempt, 'processing_started', stamp)
  hand_out(id, job, attempt)
  waited = waited + now - job[4]
end

local function take_some(queue, room)
  local got = redis.call('ZRANGE', state_key(queue, 'queued'), 0, room - 1)
  for _, id in ipairs(got) do
    leave(id, queue, 'queued')
  end
  take_out()
  waited = 0
  for _, id in ipairs(got) do
    ids[#ids + 1] = id
    take(id, queue)
  end
  if #got > 0 then
    count(queue, 'claimed', #got)
    count(queue, 'wait_seconds', waited)
  end
  if #got < room then
    silence(queue)
  end
end

local graceful = grace(args.lease) > 0
local next_due
for _, queue in ipairs(args.queues) do
  promote(queue, 100)
  if not graceful then
    give_back_lost(queue, 100, args.max_retries)
  end
  if redis.call('SISMEMBER', paused_key, queue) == 1 then
    silence(queue)  -- or its bell would wake workers for nothing; resuming rings again
  else
    if #ids < args.count then
      take_some(queue, args.count - #ids)
    end
    local due = redis.call('ZRANGE', state_key(queue, 'scheduled'), 0, 0, 'WITHSCORES')
    if due[2] and (not next_due or tonumber(due[2]) < next_due) then
      next_due = tonumber(due[2])
    end
  end
end
bring_in()
write_stats()

if #ids < args.count then
  answer[2] = 1
end
if next_due then
  answer[3] = tostring(math.max(0, next_due - now))
end
if #ids > 0 then
  redis.call('SET', receipt, cmsgpack.pack({args.token, ids}), 'EX', math.ceil(args.lease))
end
return answer
