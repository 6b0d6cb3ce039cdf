-- Take a deleted job from those that were accepted lately.
--
-- KEYS   1 recent:<tenant>
-- ARGV   1 how an entry of the job begins
--
-- Run by RedisRecent.forget.

for _, entry in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  if string.sub(entry, 1, #ARGV[1]) == ARGV[1] then
    redis.call('LREM', KEYS[1], 0, entry)
  end
end
