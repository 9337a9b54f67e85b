-- Grants a service's lease to a node, under a new epoch. A Redis that knows an older epoch than the
-- store has gone back in time, and may have granted what it does not know of: then it keeps the lease
-- for nobody, for as long as one lasts.
--
-- KEYS  1 the lease: "<epoch> <holder>" or "<epoch> >node that is to be next", expires   2 the epoch, never expires
-- ARGV  1 holder   2 how long (ms)   3 the store's epoch
-- Gives {"acquired", epoch, holder}
--       {"held", ms left, its holder}     it is had, if only by nobody: ""; also by who asks, who may
--                                         have lost the answer that granted it, and waits as others do
local lease = redis.call('GET', KEYS[1])
if lease then
  local holder = string.match(lease, '^%d+ (.*)$')
  if holder and holder ~= '>' .. ARGV[1] then
    return { 'held', redis.call('PTTL', KEYS[1]), holder }
  end
end
local known = tonumber(redis.call('GET', KEYS[2]) or '0')
if known < tonumber(ARGV[3]) then
  redis.call('SET', KEYS[2], ARGV[3])
  redis.call('SET', KEYS[1], ARGV[3] .. ' ', 'PX', ARGV[2])
  return { 'held', tonumber(ARGV[2]), '' }
end
local epoch = string.format('%d', known + 1)
redis.call('SET', KEYS[2], epoch)
redis.call('SET', KEYS[1], epoch .. ' ' .. ARGV[1], 'PX', ARGV[2])
return { 'acquired', tonumber(epoch), ARGV[1] }
