#!lua name=auction
-- The sealed first-price auction as one would build it on Redis: hashes, a sorted set per RFQ, streams,
-- and a function per command. Money is in millionths.

local function post(rfq, account, bucket, amount)
    redis.call('XADD', 'postings', '*', 'rfq', rfq, 'account', account, 'bucket', bucket,
        'amount', amount)
end

-- Moves money between two buckets of an account, with both postings.
local function move(rfq, account, from, to, amount)
    redis.call('HINCRBY', 'account:' .. account, from, -amount)
    redis.call('HINCRBY', 'account:' .. account, to, amount)
    post(rfq, account, from, -amount)
    post(rfq, account, to, amount)
end

-- Opens an RFQ and holds the reserve: rfq, buyer, reserve.
local function open_rfq(_, args)
    local rfq, buyer, reserve = args[1], args[2], tonumber(args[3])
    local available = redis.call('HGET', 'account:' .. buyer, 'available')
    if not available or tonumber(available) < reserve then
        return redis.error_reply('InsufficientFunds')
    end
    if redis.call('HSETNX', 'rfq:' .. rfq, 'buyer', buyer) == 0 then
        return redis.error_reply('IdempotencyMismatch')
    end
    redis.call('HSET', 'rfq:' .. rfq, 'reserve', args[3], 'state', 'open')
    move(rfq, buyer, 'available', 'held', reserve)
    return 'OK'
end

-- Places a sealed quote, one per provider, while the RFQ is open: rfq, provider, price.
local function place_quote(_, args)
    local rfq, provider, price = args[1], args[2], tonumber(args[3])
    if price <= 0 then return redis.error_reply('InvalidAmount') end
    local found = redis.call('HMGET', 'rfq:' .. rfq, 'buyer', 'state')
    if not found[1] then return redis.error_reply('UnknownRfq') end
    if found[2] ~= 'open' then return redis.error_reply('TooLate') end
    if found[1] == provider then return redis.error_reply('SelfTrade') end
    if redis.call('SADD', 'quoted:' .. rfq, provider) == 0 then
        return redis.error_reply('QuoteExists')
    end
    -- Equal prices are ordered by member: the earlier quote has the smaller number.
    local member = string.format('%015d:%s', redis.call('INCR', 'seq'), provider)
    redis.call('ZADD', 'quotes:' .. rfq, price, member)
    return 'OK'
end

-- Closes an RFQ: ranks, says why the others lost, moves the price into escrow and the rest back: rfq.
local function close_rfq(_, args)
    local rfq = args[1]
    local found = redis.call('HMGET', 'rfq:' .. rfq, 'buyer', 'reserve', 'state')
    if found[3] ~= 'open' then return redis.error_reply('TooLate') end
    local buyer, reserve = found[1], tonumber(found[2])
    local quotes = redis.call('ZRANGE', 'quotes:' .. rfq, 0, -1, 'WITHSCORES')
    local winner, best = nil, tonumber(quotes[2])
    local ranked = {}
    for at = 1, #quotes, 2 do
        local provider, price = string.sub(quotes[at], 17), tonumber(quotes[at + 1])
        local rank, result = (at + 1) / 2, 'Outscored'
        if price > reserve then
            result = 'AboveReserve'
        elseif rank == 1 then
            result, winner = 'Won', provider
        elseif price == best then
            result = 'Tied'
        elseif rank == 2 then
            result = 'Cover'
        end
        ranked[#ranked + 1] = provider
        ranked[#ranked + 1] = rank .. ' ' .. price .. ' ' .. result
    end
    if #ranked > 0 then redis.call('HSET', 'ranked:' .. rfq, unpack(ranked)) end
    redis.call('DEL', 'quotes:' .. rfq, 'quoted:' .. rfq)
    if winner then
        redis.call('HSET', 'rfq:' .. rfq, 'state', 'awarded')
        move(rfq, buyer, 'held', 'escrow', best)
        if reserve > best then move(rfq, buyer, 'held', 'available', reserve - best) end
        return winner
    end
    redis.call('HSET', 'rfq:' .. rfq, 'state', 'passed')
    move(rfq, buyer, 'held', 'available', reserve)
    return false
end

-- Runs whole auctions of 10 quotes inside the server, without a client: first RFQ, count.
local function run_auctions(keys, args)
    for rfq = tonumber(args[1]), tonumber(args[1]) + tonumber(args[2]) - 1 do
        local name = string.format('%d', rfq)
        open_rfq(keys, { name, tostring(math.random(1, 1000)), '40000000' })
        local first = math.random(0, 999)
        for quote = 0, 9 do
            local provider = tostring(1001 + (first + quote * 97) % 1000)
            place_quote(keys, { name, provider, tostring(math.random(10000000, 45000000)) })
        end
        close_rfq(keys, { name })
    end
    return 'OK'
end

redis.register_function('run_auctions', run_auctions)
redis.register_function('open_rfq', open_rfq)
redis.register_function('place_quote', place_quote)
redis.register_function('close_rfq', close_rfq)
