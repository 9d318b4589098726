--- finish — record how attempts ended: result, next state, statistics, event and callback, all or nothing.
-- in   retries (for jobs that say none), max_crashes, max_retries, backoff, backoff_max, jitter, retention
--      ARGV[2 …] for each attempt: id, token, kind, seconds, first, second, third      (see model/outcome.py)
-- out  'ok', id, why, id, why, …        only the refused ones; why: the letter of the state the job is in, or missing
-- moves running → succeeded | scheduled | dead.  A late outcome is refused and counted; one of a canceled job is refused
-- and not counted, for its worker may not have heard of it yet. Sending it again is harmless: the token stays with the
-- job until another claim, and an outcome that was recorded is not recorded twice.
--@include call drain job move stats times bell stream settle trim

local answer = {'ok'}
local accepted, ended = {}, {}

for i = 2, #ARGV, 7 do
  local job = read_job(ARGV[i])
  if job.state == RUNNING and job.token == ARGV[i + 1] then
    if leave(job.id, job.queue, RUNNING) then
      job.at = i
      accepted[#accepted + 1] = job
    end
  elseif job.token ~= ARGV[i + 1] or job.state == CANCELED then
    answer[#answer + 1] = job.id
    answer[#answer + 1] = job.state or 'missing'
    drain()
    -- It may be sent more than once: an executor's board and pipe both have it, and answers are lost.
    if job.queue and job.state ~= CANCELED and redis.call('HGET', job_key(job.id), REFUSED_TOKEN) ~= ARGV[i + 1] then
      redis.call('HSET', job_key(job.id), REFUSED_TOKEN, ARGV[i + 1])
      count(job.queue, 'refused', 1)
    end
  end
end
take_out()

local function succeed(job, started, first, result)
  if job.error_type then  -- an earlier attempt left its error
    redis.call('HDEL', job_key(job.id), ERROR, ERROR_TYPE, TRACEBACK)
  end
  if #result <= PIECE and first == '' then
    return end_job(job, SUCCEEDED, nil, PROCESSING_STARTED, started, RESULT, result)
  end
  local fields, short = {PROCESSING_STARTED, started}, nil
  keep(fields, RESULT, result, result_key(job.id))
  if first ~= '' then  -- '=text' is a short result, '' is none
    short = string.sub(first, 2)
    fields[#fields + 1], fields[#fields + 2] = SHORT_RESULT, short
  end
  end_job(job, SUCCEEDED, short, unpack(fields))
end

--@rarely
local function fail(job, kind, ...)
  read_more(job)
  if kind == 'crash' then
    count(job.queue, 'crashed', 1)
    try_again(job, CRASHES, args.max_crashes, ...)
  elseif kind == 'unknown' then
    try_again(job, RETRIES, args.max_retries, ...)
  else
    count(job.queue, 'failed', 1)
    try_again(job, FAILURES, tonumber(job[RETRIES_ALLOWED]) or args.retries, ...)
  end
end

for _, job in ipairs(accepted) do
  local i, queue = job.at, job.queue
  local run = us(ARGV[i + 3])  -- how long the listener ran, by the clock of its own process
  local of_queue = ended[queue]
  if not of_queue then
    of_queue = {jobs = 0, run = 0, longest = 0, times = {}}
    ended[queue] = of_queue
  end
  of_queue.jobs = of_queue.jobs + 1
  of_queue.run = of_queue.run + run
  if run > of_queue.longest then
    of_queue.longest = run
  end
  count_time(of_queue.times, run)
  if ARGV[i + 2] == 'done' then
    -- A job that was claimed ahead of its turn began later than its claim.
    succeed(job, now - run, ARGV[i + 4], ARGV[i + 5])
  else
    fail(job, ARGV[i + 2], ARGV[i + 4], ARGV[i + 5], ARGV[i + 6])
  end
end
bring_in()

for queue, of_queue in pairs(ended) do
  count(queue, 'run_us', of_queue.run)
  count_times(queue, 'run_', of_queue.times)
  remember_run(queue, of_queue.jobs, of_queue.run, of_queue.longest)
  if has_retention(queue) then
    for _, state in ipairs({SUCCEEDED, CANCELED, DEAD}) do
      trim(queue, state, of_queue.jobs + 10)
    end
  end
end
write_stats()
return answer
