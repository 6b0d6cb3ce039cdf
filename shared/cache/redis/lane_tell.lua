-- Keep what one process tells of one lane: the difference of its totals to those that it told before.
--
-- KEYS   1 lane:{lane}    2 lane:{lane}:flow:<n>
-- ARGV   1 process   2 its start   3 now (both ms)
--        4 published   5 pulled   6 returned   7 settled: totals since its start
--        8 in flight, or -1 where it takes nothing   9 oldest in flight   10 newest pulled (publish times, ms, or 0)
--        11 "1" if it finds the lane empty   12 first published since it told last (ms, or 0)
--        13 ms of silence after which a process is gone   14 ms after which it is forgotten   15 ms of quiet
--        16 seconds to keep the lane   17 seconds to keep the flow
--
-- The lane's hash has a field for each process, `p:<process>`: start, seen, the four totals, in flight, oldest in flight.
-- In flight -2: the process was taken for gone, and what it held counts as waiting. One hash, so that all of it is lost
-- together or not at all.
--
-- Run by RedisLanes.tell; `MemoryLanes` does the same. A process of which nothing is kept is new if it started after the
-- record did: then all that it tells is new. If it is older, the record was lost, and what happened before is unknown.

local GONE = -2
local started, now, in_flight = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[8])
local own = 'p:' .. ARGV[1]

local function numbers(text)
  local found = {}
  for number in string.gmatch(text, '%-?%d+') do
    found[#found + 1] = tonumber(number)
  end
  return found
end

local function integer(number)
  return string.format('%d', number)  -- tostring would round what has more than 14 digits
end

local kept = redis.call('HMGET', KEYS[1], 'since', 'waiting', 'known', 'front', 'pulled', 'swept', own)
local since = tonumber(kept[1] or now)
local waiting, known = tonumber(kept[2] or 0), kept[3] or '0'
local front, pulled_at, swept = tonumber(kept[4] or 0), tonumber(kept[5] or 0), tonumber(kept[6] or 0)
local before = kept[7] and numbers(kept[7])

local delta = {0, 0, 0, 0}
for i = 1, 4 do
  local total = tonumber(ARGV[3 + i])
  if before and before[1] == started then
    delta[i] = math.max(0, total - before[2 + i])
  elseif started >= since then
    delta[i] = total
  end
end
local published, pulled, returned, settled = delta[1], delta[2], delta[3], delta[4]

if before and before[1] ~= started then
  waiting = waiting + math.max(0, before[7])  -- of the process that had its name, and died
elseif before and before[7] == GONE then
  waiting = waiting - math.max(0, in_flight)  -- it lives after all
end
if published > 0 and waiting <= 0 then
  front = math.max(front, tonumber(ARGV[12]))
end
front = math.max(front, tonumber(ARGV[10]))
waiting = waiting + published + returned - pulled  -- below zero for as long as takers have told before publishers
if pulled > 0 then
  pulled_at = now
elseif ARGV[11] == '1' and now - pulled_at >= tonumber(ARGV[15]) then
  waiting, known = 0, '1'
end

local function entry(fields)
  return table.concat(fields, ' ')
end

redis.call('HSET', KEYS[1], own, entry({integer(started), integer(now), ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9]}))
if now - swept >= tonumber(ARGV[13]) / 3 then
  swept = now
  local fields = redis.call('HGETALL', KEYS[1])
  for i = 1, #fields, 2 do
    if string.sub(fields[i], 1, 2) == 'p:' then
      local each = numbers(fields[i + 1])
      local silence = now - each[2]
      if silence >= tonumber(ARGV[14]) then
        redis.call('HDEL', KEYS[1], fields[i])
      elseif silence >= tonumber(ARGV[13]) and each[7] >= 0 then
        waiting = waiting + each[7]
        each[7] = GONE
        for place, number in ipairs(each) do
          each[place] = integer(number)
        end
        redis.call('HSET', KEYS[1], fields[i], entry(each))
      end
    end
  end
end

redis.call('HSET', KEYS[1], 'since', integer(since), 'waiting', integer(waiting), 'known', known, 'front', integer(front),
  'pulled', integer(pulled_at), 'swept', integer(swept))
redis.call('EXPIRE', KEYS[1], ARGV[16])
if published > 0 or settled > 0 then
  redis.call('HINCRBY', KEYS[2], 'in', integer(published))
  redis.call('HINCRBY', KEYS[2], 'out', integer(settled))
  redis.call('EXPIRE', KEYS[2], ARGV[17])
end
