-- A lane's record as it is kept, and its flow: one array of fields and values each.
--
-- KEYS   1 lane:{lane}    2… lane:{lane}:flow:<n>
--
-- Run by RedisLanes.figures, which makes figures of them.

local found = {}
for i, key in ipairs(KEYS) do
  found[i] = redis.call('HGETALL', key)
end
return found
