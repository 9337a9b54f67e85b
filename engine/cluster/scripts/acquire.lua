-- Grants a service's lease to a node, under a new epoch.
--
-- KEYS  1 the lease: "<epoch> <holder>", expires   2 the epoch, never expires
-- ARGV  1 holder   2 how long (ms)   3 the least the epoch may have been (the store's)
--       4 "1": although this Redis knows an older epoch than that
-- Gives {"acquired", epoch, holder}
--       {"held", ms left, its holder}     it is another's
--       {"travelled", epoch, ""}          it is free, but this Redis has gone back in time
local lease = redis.call('GET', KEYS[1])
if lease then
  local holder = string.match(lease, '^%d+ (.*)$')
  if holder and holder ~= ARGV[1] then
    return { 'held', redis.call('PTTL', KEYS[1]), holder }
  end
end
local known = tonumber(redis.call('GET', KEYS[2]) or '0')
local least = tonumber(ARGV[3])
if known < least and ARGV[4] ~= '1' then
  return { 'travelled', known, '' }
end
local epoch = string.format('%d', math.max(known, least) + 1)
redis.call('SET', KEYS[2], epoch)
redis.call('SET', KEYS[1], epoch .. ' ' .. ARGV[1], 'PX', ARGV[2])
return { 'acquired', tonumber(epoch), ARGV[1] }
