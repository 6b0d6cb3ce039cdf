-- Register a gateway as watching a job and read what is kept of it: nothing told in between is missed.
--
-- KEYS   1 job:{id}    2 watch:{id}
-- ARGV   1 gateway   2 seconds to keep the watch   3 seconds to keep the snapshot where no attempt has begun
--
-- Run by RedisSnapshots.watch. Nothing follows a terminal snapshot, so where one is kept nobody is registered. Orders
-- count attempts from bit 12 on.

local kept = redis.call('GET', KEYS[1])
if not (kept and string.match(string.sub(kept, 1, 18), '^1%d+[TD]$') and #kept > 18) then
  redis.call('SADD', KEYS[2], ARGV[1])
  redis.call('EXPIRE', KEYS[2], ARGV[2])
  local order = kept and string.match(string.sub(kept, 1, 18), '^1(%d+)L$')
  if order and tonumber(order) < 4096 then
    redis.call('EXPIRE', KEYS[1], ARGV[3])
  end
end
return kept
