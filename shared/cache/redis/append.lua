-- Add a running job's reports to its stream, keep the newest progress, and hint at them to the gateways that follow.
--
-- KEYS   1 stream:{id}    2 progress:{id}    3 follow:{id}    4 job:{id}
-- ARGV   1 id   2 turn   3 reports dropped before these   4 seconds to keep them   5 most reports   6 most bytes
--        then, for each report, its kind, attempt and JSON
--
-- Run by RedisStreams.append. Entries are numbered epoch-1, epoch-2, …; the epoch is when the stream began, so that the
-- positions of a stream that was lost mean nothing in the next. An entry's value begins with a header:
--
--     1 513 70211 output 2⏎       version, turn, bytes of all reports up to and with this one, kind, attempt

local function header(entry)
  return string.match(entry[2][2], '^1 (%d+) (%d+) ')
end

if string.match(redis.call('GETRANGE', KEYS[4], 0, 18), '^1%d+[TD].$') then
  return
end

local epoch, number, sum
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if last then
  local turn, bytes = header(last)
  if tonumber(turn) > tonumber(ARGV[2]) then
    return
  end
  epoch, number = string.match(last[1], '^(%d+)-(%d+)$')
  sum = tonumber(bytes)
else
  local now = redis.call('TIME')
  epoch, number, sum = string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000)), 0, 0
end
number = tonumber(number) + tonumber(ARGV[3])

for place = 7, #ARGV, 3 do
  local kind, attempt, data = ARGV[place], ARGV[place + 1], ARGV[place + 2]
  number, sum = number + 1, sum + #data
  local head = string.format('1 %s %.0f %s %s\n', ARGV[2], sum, kind, attempt)
  redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[5], string.format('%s-%.0f', epoch, number), 'v', head .. data)
  if kind == 'progress' then
    redis.call('SET', KEYS[2], head .. data, 'EX', ARGV[4])
  end
end

while true do
  local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 2)
  local _, before = header(oldest[1])
  if #oldest < 2 or sum - tonumber(before) <= tonumber(ARGV[6]) then
    break
  end
  redis.call('XTRIM', KEYS[1], 'MINID', oldest[2][1])
end
redis.call('EXPIRE', KEYS[1], ARGV[4])

for _, gateway in ipairs(redis.call('SMEMBERS', KEYS[3])) do
  redis.call('PUBLISH', 'hint:' .. gateway, ARGV[1])
end
