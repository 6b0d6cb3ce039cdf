-- Find the result of equal work, else join the flight under way, else lead one: in one step.
--
-- KEYS   1 result:{cache key}    2 flight:{cache key}
-- ARGV   1 encoded flight   2 seconds to keep it   3 id of a flight that has ended, or empty
--
-- Run by RedisFlights.enter. Answers {"H", result, milliseconds left}, {"J", flight} or {"L"}. What does not start with
-- a header counts as nothing.

local result = redis.call('GET', KEYS[1])
if result and string.match(result, '^1 %d+ %S+\n1' .. string.rep('%d', 16) .. 'T.') then
  return { 'H', result, redis.call('PTTL', KEYS[1]) }
end

local flight = redis.call('GET', KEYS[2])
local id = flight and string.match(flight, '^1[UC] (%S+)\n')
if id and id ~= ARGV[3] then
  return { 'J', flight }
end

redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[2])
return { 'L' }
