--- claim — give a worker up to `count` queued jobs, each under a lease.
-- in   queues (in order), count, worker, lane, token (random, new for each claim), lease (s), max_retries;
--      functions, plain, cursors: each when said, see lib/others.lua and lib/take.lua
-- out  'ok', empty, next_due, withheld, passed, id, timeout, record, id, timeout, record, …
--      empty: 1 when the queues hold no more for this lane; next_due: seconds until a scheduled job is due, or ''
--      withheld: seconds for which jobs that look lost are still left alone, or ''
--      passed: where jobs were passed over that only others can run, by queue the cursor to go on from, as msgpack; or ''
--      record: msgpack for the executor, unread by the worker (worker/context.py reads it)
-- Sending it again after a lost reply answers the same jobs, and renews their leases: an outage may have been in between,
-- so the token is remembered for long.
--@include call drain job move stats bell stream settle pulse due frame others take

local receipt = claim_key(args.lane)
local head = cmsgpack.pack(args.token)
local last = redis.call('GET', receipt)  -- of the lane's last claim the token, then the ids

if last and string.sub(last, 1, #head) == head then
  drain()
  for _, id in ipairs(cmsgpack.unpack(string.sub(last, #head + 1))) do
    local job = read_whole(id)
    if job[STATE] == RUNNING and job[TOKEN] == args.token then
      local queue = job[QUEUE] or 'default'
      renew(id, queue, lease_until)
      hand_out(id, queue, job)
    end
  end
  return answer
end

local grace_left, next_due = grace(), nil
local moves = 200  -- of jobs that are due or lost, in all these queues together

--@rarely
local function look_after(queue, due, over)
  if due then
    moves = moves - promote(queue, math.min(100, moves))
  end
  if over and grace_left == 0 then
    moves = moves - give_back_lost(queue, math.min(100, moves), args.max_retries)
  elseif over then
    answer[4] = tostring(grace_left / 1000000)
  end
end

for _, queue in ipairs(args.queues) do
  local due, over = next_of(queue, SCHEDULED), next_of(queue, RUNNING)
  if (due and due <= now) or (over and over <= now) then
    look_after(queue, due and due <= now, over and over <= now)
    due = next_of(queue, SCHEDULED)
  end
  if redis.call('SISMEMBER', paused_key, queue) == 1 then
    silence(queue)  -- or its bell would wake workers for nothing; resuming rings again
  else
    if #ids < args.count and bytes < MOST_BYTES then
      take_some(queue, args.count - #ids)
    end
    if due and (not next_due or due < next_due) then
      next_due = due
    end
  end
end
bring_in()
write_stats()

if #ids < args.count and bytes < MOST_BYTES and not unfinished then
  answer[2] = 1
end
if cursors then
  answer[5] = cmsgpack.pack(cursors)
end
if next_due then
  answer[3] = tostring(math.max(0, next_due - now) / 1000000)
end
if #ids > 0 then
  redis.call('SET', receipt, head .. cmsgpack.pack(ids), 'EX', math.ceil(args.lease) + 3600)
end
return answer
