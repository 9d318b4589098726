--- purge — an operator throws jobs of a queue away, with their records.
-- in   queue, state, limit; client, serial (see lib/once.lua)
-- out  'ok', purged, left
--@include call drain once job move trim

drain()
local again = remembered()
if again then
  return again
end

local purged = drop(args.queue, args.state, oldest(args.queue, args.state, args.limit))
return remember({'ok', purged, size(args.queue, args.state)})
