-- Taking queued jobs, each under a lease. Those that only other workers can run are passed over and stay in their places:
-- of such a line the head is looked at each time, and then what is behind the cursor (a score) of the lane's last claim.
local MOST_BYTES = 4194304  -- of messages in all are enough for one answer: Redis and the worker hold them in memory
local HEAD = 20  -- jobs of the head
local LOOKS = 200  -- jobs at which one claim looks behind it, about
local PAGE = 50
local answer = {'ok', 0, '', '', ''}
local ids = {}
local bytes, waited = 0, 0
local cursors, unfinished  -- of queues in which jobs were passed over: where to go on, and whether something is behind
local filtered, selective = args.functions, args.functions and not args.plain
local lease_until = now + us(args.lease)

local function hand_out(id, queue, job)
  local n = #answer
  answer[n + 1], answer[n + 2], answer[n + 3] = id, job[TIMEOUT] or '', frame(id, queue, job)
end

local function take(id, queue, job)
  ids[#ids + 1] = id
  enter(id, queue, RUNNING, lease_until, WORKER, args.worker, TOKEN, args.token, PROCESSING_STARTED, stamp)
  if job[EMITTED] then begin_again(id, job) end
  hand_out(id, queue, job)
  local since = tonumber(job[QUEUED_AT] or job[TIMESTAMP]) or now
  local time = since < now and now - since or 0
  waited = waited + time
  count(queue, WAIT_BUCKET, 1)  -- all buckets together are how many were claimed
end

-- Go on where the first jobs of a queue were not all for us: behind `last`, of which and before it `seen` were looked at.
--@rarely
local function look_further(queue, room, seen, last, found, jobs)
  local key, left = state_key(queue, QUEUED), math.max(2 * HEAD, math.floor(LOOKS / #args.queues))
  local from, cursor = redis.call('ZSCORE', key, last), args.cursors and args.cursors[queue]
  local ended = false
  for _ = 1, LOOKS do
    if ended or left <= 0 or #found >= room or bytes >= MOST_BYTES then break end
    if cursor and seen >= HEAD then
      from = tonumber(cursor) > tonumber(from) and cursor or from
      cursor = nil
    end
    local some = math.min(PAGE, left, cursor and HEAD - seen or PAGE)
    local page = redis.call('ZRANGEBYSCORE', key, '(' .. from, '+inf', 'WITHSCORES', 'LIMIT', 0, some)
    for i = 1, #page, 2 do
      from = page[i + 1]
      if not is_for_others(redis.call('HGET', job_key(page[i]), FUNCTIONS), queue) then
        found[#found + 1], jobs[#jobs + 1] = page[i], read_whole(page[i])
        bytes = bytes + #(jobs[#jobs].message or '')
        if #found == room or bytes >= MOST_BYTES then break end
      end
    end
    left, seen, ended = left - some, seen + some, #page < 2 * some
  end
  unfinished = unfinished or not ended
  cursors = cursors or {}
  cursors[queue] = from
end

local function take_some(queue, room)
  local page = redis.call('ZRANGE', state_key(queue, QUEUED), 0, room - 1)
  local found, jobs, n, over, seen = {}, {}, 0, 0, 0
  for i, id in ipairs(page) do
    if bytes >= MOST_BYTES or over == HEAD then break end
    local job = read_fields(id)
    seen = i
    if (job[FUNCTIONS] and filtered or selective) and job[STATE] and is_for_others(job[FUNCTIONS], queue) then
      over = over + 1
    else
      local message = job[STATE] and kept(job, MSG, msg_key(id))
      job.message = message
      bytes = bytes + (message and #message or 0)
      n = n + 1
      found[n], jobs[n] = id, job
    end
  end
  if over > 0 then
    look_further(queue, room, seen, page[seen], found, jobs)
  end
  leave_all(queue, QUEUED, found)
  waited = 0
  for i, job in ipairs(jobs) do
    if job[STATE] == QUEUED then  -- or its record is gone, or not whole: there is nothing to run
      take(found[i], queue, job)
    end
  end
  if #jobs > 0 then
    count(queue, 'wait_us', waited)
  end
  if over > 0 then
    ring_again(queue)
  elseif #found < room and #found == #page then
    silence(queue)
  end
end
