-- Take a block of tokens from a key's bucket, by the generic cell rate algorithm.
--
-- KEYS   1 rate:<key id>
-- ARGV   1 tokens a second   2 burst   3 tokens wanted
-- Returns tokens granted, tokens left, and after how many milliseconds the next one is there.
--
-- The bucket is one number: the theoretical arrival time, in microseconds by the server's clock, up to which tokens are
-- spent. It lives as long as it says anything. Run by RedisRates.lease.

local rate, burst, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local interval = 1000000 / rate
local spent = tonumber(redis.call('GET', KEYS[1]) or 0)
if spent < now then
  spent = now
end
local free = math.floor((now + burst * interval - spent) / interval + 0.000001)
local granted = math.max(0, math.min(wanted, free))
if granted > 0 then
  spent = spent + granted * interval
  redis.call('SET', KEYS[1], string.format('%.0f', spent), 'PX', math.ceil((spent - now) / 1000) + 1000)
end
local left = math.max(0, free - granted)
local wait = 0
if granted == 0 then
  wait = math.max(1, math.ceil((spent + interval - now - burst * interval) / 1000))
end
return {granted, left, wait}
