--- pack — what waiting jobs would take along to another queue. Nothing is changed.
-- in   queue, state;  ARGV[2 …] ids
-- out  'ok', read, {id, due, message, {field, value, …}}, …
--      read: how many of the ids were looked at; those that are in another state or queue by now are left out
--@include call job luggage

local answer, size = {'ok', 0}, 0
for i = 2, #ARGV do
  if size < MOST_BYTES then
    local id = ARGV[i]
    local job = read_whole(id)
    if job[STATE] == args.state and (job[QUEUE] or 'default') == args.queue then
      local due = args.state == SCHEDULED and redis.call('ZSCORE', state_key(args.queue, SCHEDULED), id) or ''
      size = size + #(job.message or '')
      answer[#answer + 1] = luggage(id, due, job)
    end
    answer[2] = i - 1
  end
end
return answer
