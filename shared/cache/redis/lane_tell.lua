-- Keep what one process tells of one lane: the difference of its totals to those that it told before.
--
-- KEYS   1 lane:{lane}    2 lane:{lane}:processes    3 lane:{lane}:flow:<n>
-- ARGV   1 process   2 its start   3 now (both ms)
--        4 published   5 pulled   6 returned   7 settled: totals since its start
--        8 in flight, or -1 where it takes nothing   9 oldest in flight   10 newest pulled (publish times, ms, or 0)
--        11 "1" if it finds the lane empty   12 first published since it told last (ms, or 0)
--        13 ms of silence after which a process is gone   14 ms after which it is forgotten   15 ms of quiet
--        16 seconds to keep the lane   17 seconds to keep the flow
--
-- Run by RedisLanes.tell; `MemoryLanes` does the same. A process of which nothing is kept is new if it started after the
-- record did: then all that it tells is new. If it is older, the record was lost, and what happened before is unknown.

local now, started = tonumber(ARGV[3]), tonumber(ARGV[2])
local in_flight = tonumber(ARGV[8])

local function numbers(text)
  local found = {}
  for number in string.gmatch(text, '%-?%d+') do
    found[#found + 1] = tonumber(number)
  end
  return found  -- started, seen, published, pulled, returned, settled, in flight, oldest
end

local kept = redis.call('HMGET', KEYS[1], 'since', 'waiting', 'known', 'front', 'pulled', 'swept')
local since = tonumber(kept[1] or now)
local waiting, known = tonumber(kept[2] or 0), kept[3] or '0'
local front, pulled_at, swept = tonumber(kept[4] or 0), tonumber(kept[5] or 0), tonumber(kept[6] or 0)

local before = redis.call('HGET', KEYS[2], ARGV[1])
before = before and numbers(before)
local delta = {0, 0, 0, 0}
for i = 1, 4 do
  local total = tonumber(ARGV[3 + i])
  if before and before[1] == started then
    delta[i] = math.max(0, total - before[2 + i])
  elseif started >= since then
    delta[i] = total
  end
end
if before and before[1] ~= started then
  waiting = waiting + math.max(0, before[7])
end
local published, pulled, returned, settled = delta[1], delta[2], delta[3], delta[4]

if published > 0 and waiting <= 0 and tonumber(ARGV[12]) > 0 then
  front = math.max(front, tonumber(ARGV[12]))
end
front = math.max(front, tonumber(ARGV[10]))
waiting = math.max(0, waiting + published + returned - pulled)
if pulled > 0 then
  pulled_at = now
elseif ARGV[11] == '1' and now - pulled_at >= tonumber(ARGV[15]) then
  waiting, known = 0, '1'
end

redis.call('HSET', KEYS[2], ARGV[1], string.format('%d %d %s %s %s %s %d %s', started, now, ARGV[4], ARGV[5], ARGV[6],
  ARGV[7], in_flight, ARGV[9]))
if now - swept >= tonumber(ARGV[13]) / 3 then
  swept = now
  local entries = redis.call('HGETALL', KEYS[2])
  for i = 1, #entries, 2 do
    local entry = numbers(entries[i + 1])
    local silence = now - entry[2]
    if silence >= tonumber(ARGV[13]) and entry[7] >= 0 then
      waiting = waiting + entry[7]
      redis.call('HDEL', KEYS[2], entries[i])
    elseif silence >= tonumber(ARGV[14]) then
      redis.call('HDEL', KEYS[2], entries[i])
    end
  end
end

redis.call('HSET', KEYS[1], 'since', string.format('%d', since), 'waiting', string.format('%d', waiting), 'known', known,
  'front', string.format('%d', front), 'pulled', string.format('%d', pulled_at), 'swept', string.format('%d', swept))
redis.call('EXPIRE', KEYS[1], ARGV[16])
redis.call('EXPIRE', KEYS[2], ARGV[16])
if published > 0 or settled > 0 then
  redis.call('HINCRBY', KEYS[3], 'in', published)
  redis.call('HINCRBY', KEYS[3], 'out', settled)
  redis.call('EXPIRE', KEYS[3], ARGV[17])
end
