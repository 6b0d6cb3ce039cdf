-- Drop all that is kept of a deleted job, leave the word that it is deleted, and have every gateway hear it.
--
-- KEYS   1 job:{id}    2 watch:{id}    3 stream:{id}    4 progress:{id}    5 follow:{id}
-- ARGV   1 encoded word   2 seconds to keep it   3 the word as a message
--
-- Run by RedisSnapshots.erase. The word's order is above all others, so what a worker tells late is not kept.

redis.call('DEL', KEYS[2], KEYS[3], KEYS[4], KEYS[5])
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
redis.call('PUBLISH', 'gateways', ARGV[3])
