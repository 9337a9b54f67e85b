-- Prolongs a lease that its holder still has.
--
-- KEYS  1 the lease: "<epoch> <holder>", expires
-- ARGV  1 holder   2 how long (ms)   3 the holder's epoch
-- Gives {"renewed", epoch, holder}
--       {"missing", 0, its holder}        there is none (""), or it is another's
local mine = ARGV[3] .. ' ' .. ARGV[1]
local lease = redis.call('GET', KEYS[1])
if lease == mine then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return { 'renewed', tonumber(ARGV[3]), ARGV[1] }
end
return { 'missing', 0, lease and string.match(lease, '^%d+ (.*)$') or '' }
