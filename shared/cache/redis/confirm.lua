-- Mark a flight as one that the broker has, and keep it as long as its job may live.
--
-- KEYS   1 flight:{cache key}
-- ARGV   1 id   2 seconds to keep it
--
-- Run by RedisFlights.confirm. A flight that is gone stays gone: its job may be over already.

local flight = redis.call('GET', KEYS[1])
if flight and string.match(flight, '^1[UC] (%S+)\n') == ARGV[1] then
  redis.call('SET', KEYS[1], '1C' .. string.sub(flight, 3), 'EX', ARGV[2])
end
