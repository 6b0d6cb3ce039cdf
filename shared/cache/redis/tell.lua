-- Keep a snapshot unless a newer one is kept, and publish it to the gateways that watch the job.
--
-- KEYS   1 job:{id}    2 watch:{id}
-- ARGV   1 order   2 encoded snapshot   3 seconds to keep it   4 "T" if terminal, else "L"   5 id
--
-- Run by RedisSnapshots.tell. An older snapshot changes and publishes nothing: who watches has been sent the newer one,
-- or read it when starting to watch. What does not start with a header and a body counts as nothing.

local start = redis.call('GETRANGE', KEYS[1], 0, 18)
local kept = #start == 19 and tonumber(string.match(start, '^1(%d+)[TLD].$'))
if kept and kept > tonumber(ARGV[1]) then
  return
end

redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])

local gateways = redis.call('SMEMBERS', KEYS[2])
if #gateways > 0 then
  local message = ARGV[5] .. '\n' .. ARGV[2]
  for _, gateway in ipairs(gateways) do
    redis.call('PUBLISH', 'gw:' .. gateway, message)
  end
  if ARGV[4] == 'T' then
    redis.call('DEL', KEYS[2])
  end
end
