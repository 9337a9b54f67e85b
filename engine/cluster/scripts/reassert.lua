-- Sets a lease again, whatever stands there: only for whom the store holds the service. Others were granted
-- it, if at all, before that, and cannot have claimed it.
--
-- KEYS  1 the lease: "<epoch> <holder>", expires   2 the epoch, never expires, never falls
-- ARGV  1 holder   2 how long (ms)   3 the holder's epoch
-- Gives {"renewed", epoch, holder}
if tonumber(redis.call('GET', KEYS[2]) or '0') < tonumber(ARGV[3]) then
  redis.call('SET', KEYS[2], ARGV[3])
end
redis.call('SET', KEYS[1], ARGV[3] .. ' ' .. ARGV[1], 'PX', ARGV[2])
return { 'renewed', tonumber(ARGV[3]), ARGV[1] }
