--- audit — look whether what is stored of jobs fits together, and repair what needs no guess.
-- in   repair (true or false), lease (s), patience (s a lease or a due time may be over), longest (s a lease may last),
--      began: when the walk did; read: by name, the queues whose list of the succeeded was read through after that
--      ARGV[2 …] for each: id, where it was seen (`job`, `msg`, `result`, `stream`: such a key; or the letter of a state:
--      its set or list), queue, at: of a list's entry its place; of a record `new` when its id was in none of these lists
-- out  'ok', word, word, …         for each: '' when all is well, or what is wrong (see store/redis/defects.py)
-- moves nothing from one state to another: a job enters the set that its record names, an entry leaves one it does not.
-- Judged in here, because a job that is looked at in two steps may have moved between them.
--@include call job move bell sound listed

if args.repair then
  redis.call('ZREM', workers_key, '')  -- as in the chapter `drain`: so that a full Redis can be repaired too
end

local rung = {}
local function enter_its_set(job)
  local score = now
  if job.state == QUEUED then
    score = queued_score(job[PRIORITY], number_of(job.id, job[SEQ] or nil))
  elseif job.state == RUNNING then
    score = now + us(args.lease)  -- a worker that holds it renews this in time; nobody else does
  elseif job.state == BLOCKED then
    score = redis.call('HEXISTS', job_key(job.id), LEAVING) == 1 and 0 or job[TIMESTAMP]
  elseif job.state ~= SCHEDULED then
    score = job[PROCESSING_FINISHED] or now
  end
  enter(job.id, job.queue, job.state, score)
  rung[job.queue] = (rung[job.queue] or 0) + 1
end

local function judge_record(id, at)
  if type_of(job_key(id)) ~= 'hash' then
    return ''  -- gone meanwhile, or reported as a key of the wrong type
  end
  local job = read_sound(id)
  if not job then
    return 'corrupt'
  elseif not is_set(job.queue, job.state) then
    return ''
  elseif not is_listed(job, at) then
    if args.repair then
      enter_its_set(job)
    end
    return 'unlisted'
  elseif not job[MSG] and redis.call('EXISTS', msg_key(id)) == 0 then
    return 'no-message'
  elseif job.state == SUCCEEDED and not job[RESULT] and redis.call('EXISTS', result_key(id)) == 0 then
    return 'no-result'
  end
  return ''
end

local function judge_time(id, queue, state, score)
  if state == RUNNING and score > now + us(args.longest) then
    if args.repair then
      renew(id, queue, now + us(args.lease))
    end
    return 'far-lease'
  end
  local over = score < now - us(args.patience)
  return over and (state == RUNNING and 'stalled' or state == SCHEDULED and 'overdue') or ''
end

local function judge_entry(id, queue, state, at)
  local score = find_entry(id, queue, state, at)
  if not score then
    return ''  -- it has moved on
  end
  local kind = type_of(job_key(id))
  local job = kind == 'hash' and read_sound(id)
  if kind ~= 'none' and not job then
    return ''  -- reported as a record
  elseif job and job.state == state and job.queue == queue then
    return judge_time(id, queue, state, score)
  end
  if args.repair and state == SUCCEEDED then
    strike(queue, at)
  elseif args.repair then
    leave(id, queue, state)
  end
  return job and 'misplaced' or 'ghost'
end

local function judge_value(id, key, kind)
  if redis.call('EXISTS', job_key(id)) == 1 or type_of(key) ~= kind then
    return ''
  end
  if args.repair then redis.call('DEL', key) end
  return 'orphan'
end

local answer = {'ok'}
for i = 2, #ARGV, 4 do
  local id, place, queue, at, word = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  if place == 'job' then
    word = judge_record(id, at)
  elseif place == 'msg' then
    word = judge_value(id, msg_key(id), 'string')
  elseif place == 'result' then
    word = judge_value(id, result_key(id), 'string')
  elseif place == 'stream' then
    word = judge_value(id, stream_key(id), 'stream')
  else
    word = judge_entry(id, queue, place, at)
  end
  answer[#answer + 1] = word
end
take_out()
clear_struck()
bring_in('LPUSH')  -- whoever succeeded before the walk is older than those that do meanwhile
for queue, jobs in pairs(rung) do
  if fits(queues_key, 'set') then
    redis.call('SADD', queues_key, queue)
  end
  if fits(bell_key(queue), 'list') then
    ring(queue, jobs)
  end
end
return answer
