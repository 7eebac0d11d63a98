-- Begin an incarnation.
--   KEYS[1]  what it holds
--   ARGV[6]  incarnation
--   ARGV[7]  its process, by which another one of the same machine may know that it is dead; or ''

redis.call('HSETNX', KEYS[1], 'seq', '0')
redis.call('HSETNX', BASE .. 'consumers', ARGV[6], '0')
if ARGV[7] ~= '' then redis.call('HSET', BASE .. 'processes', ARGV[6], ARGV[7]) end
return 1
