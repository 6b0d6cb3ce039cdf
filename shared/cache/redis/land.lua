-- End a job's flight, and keep the job's result if it left one.
--
-- KEYS   1 result:{cache key}    2 flight:{cache key}
-- ARGV   1 id   2 encoded result, or empty   3 milliseconds to keep it
--
-- Run by RedisFlights.land and .forget. A job whose flight is another's now, or was lost, leaves its result only where
-- there is none: a refresh may have replaced it. Without a result, the one that the job left before is dropped.

local flight = redis.call('GET', KEYS[2])
local own = flight and string.match(flight, '^1[UC] (%S+)\n') == ARGV[1]
if own then
  redis.call('DEL', KEYS[2])
end

if ARGV[2] ~= '' then
  if own or redis.call('EXISTS', KEYS[1]) == 0 then
    redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
  end
else
  local kept = redis.call('GETRANGE', KEYS[1], 0, 127)
  if string.match(kept, '^1 %d+ (%S+)\n') == ARGV[1] then
    redis.call('DEL', KEYS[1])
  end
end
