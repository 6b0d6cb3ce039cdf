-- Register a gateway as following a job's stream.
--
-- KEYS   1 follow:{id}
-- ARGV   1 gateway   2 seconds to keep it
--
-- Run by RedisStreams.follow.

redis.call('SADD', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
