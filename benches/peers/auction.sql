-- The sealed first-price auction as one would build it on PostgreSQL: tables, and a function per
-- command. Money is in millionths.

CREATE TABLE account (
    id        integer PRIMARY KEY,
    available bigint NOT NULL CHECK (available >= 0),
    held      bigint NOT NULL DEFAULT 0 CHECK (held >= 0),
    escrow    bigint NOT NULL DEFAULT 0 CHECK (escrow >= 0)
) WITH (fillfactor = 50);  -- room for updates in place

CREATE TABLE rfq (
    id      bigint PRIMARY KEY,
    buyer   integer NOT NULL,
    reserve bigint NOT NULL,
    state   "char" NOT NULL DEFAULT 'o'  -- open, awarded, passed
) WITH (fillfactor = 50);

CREATE TABLE quote (
    rfq      bigint NOT NULL,
    provider integer NOT NULL,
    price    bigint NOT NULL,
    seq      bigint GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (rfq, provider)
);

CREATE TABLE ranked (
    rfq      bigint NOT NULL,
    rank     integer NOT NULL,
    provider integer NOT NULL,
    price    bigint NOT NULL,
    result   text NOT NULL,
    PRIMARY KEY (rfq, rank)
);

CREATE TABLE posting (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rfq     bigint NOT NULL,
    account integer NOT NULL,
    bucket  text NOT NULL,
    amount  bigint NOT NULL
);

-- Opens an RFQ and holds the reserve.
CREATE FUNCTION open_rfq(p_rfq bigint, p_buyer integer, p_reserve bigint) RETURNS void AS $$
BEGIN
    UPDATE account SET available = available - p_reserve, held = held + p_reserve
        WHERE id = p_buyer AND available >= p_reserve;
    IF NOT FOUND THEN RAISE EXCEPTION 'InsufficientFunds'; END IF;
    INSERT INTO rfq (id, buyer, reserve) VALUES (p_rfq, p_buyer, p_reserve);
    INSERT INTO posting (rfq, account, bucket, amount) VALUES
        (p_rfq, p_buyer, 'available', -p_reserve), (p_rfq, p_buyer, 'held', p_reserve);
END $$ LANGUAGE plpgsql;

-- Places a sealed quote: one per provider, while the RFQ is open.
CREATE FUNCTION place_quote(p_rfq bigint, p_provider integer, p_price bigint) RETURNS void AS $$
DECLARE found_rfq rfq;
BEGIN
    IF p_price <= 0 THEN RAISE EXCEPTION 'InvalidAmount'; END IF;
    SELECT * INTO found_rfq FROM rfq WHERE id = p_rfq FOR KEY SHARE;
    IF NOT FOUND THEN RAISE EXCEPTION 'UnknownRfq'; END IF;
    IF found_rfq.state <> 'o' THEN RAISE EXCEPTION 'TooLate'; END IF;
    IF found_rfq.buyer = p_provider THEN RAISE EXCEPTION 'SelfTrade'; END IF;
    -- The primary key refuses a second quote.
    INSERT INTO quote (rfq, provider, price) VALUES (p_rfq, p_provider, p_price);
END $$ LANGUAGE plpgsql;

-- Closes an RFQ: ranks, says why the others lost, moves the price into escrow and the rest back.
CREATE FUNCTION close_rfq(p_rfq bigint) RETURNS integer AS $$
DECLARE
    closed rfq;
    winner ranked;
BEGIN
    SELECT * INTO closed FROM rfq WHERE id = p_rfq AND state = 'o' FOR UPDATE;
    IF NOT FOUND THEN RAISE EXCEPTION 'TooLate'; END IF;
    WITH competing AS (DELETE FROM quote WHERE rfq = p_rfq RETURNING provider, price, seq),
    placed AS (
        SELECT provider, price, row_number() OVER (ORDER BY price, seq) AS rank,
            min(price) OVER () AS best
        FROM competing
    )
    INSERT INTO ranked (rfq, rank, provider, price, result)
        SELECT p_rfq, rank, provider, price, CASE
            WHEN price > closed.reserve THEN 'AboveReserve'
            WHEN rank = 1 THEN 'Won'
            WHEN price = best THEN 'Tied'
            WHEN rank = 2 THEN 'Cover'
            ELSE 'Outscored' END
        FROM placed;
    SELECT * INTO winner FROM ranked WHERE rfq = p_rfq AND rank = 1 AND result = 'Won';
    IF FOUND THEN
        UPDATE rfq SET state = 'a' WHERE id = p_rfq;
        UPDATE account SET held = held - closed.reserve, escrow = escrow + winner.price,
            available = available + closed.reserve - winner.price WHERE id = closed.buyer;
        INSERT INTO posting (rfq, account, bucket, amount) VALUES
            (p_rfq, closed.buyer, 'held', -closed.reserve),
            (p_rfq, closed.buyer, 'escrow', winner.price),
            (p_rfq, closed.buyer, 'available', closed.reserve - winner.price);
        RETURN winner.provider;
    END IF;
    UPDATE rfq SET state = 'p' WHERE id = p_rfq;
    UPDATE account SET held = held - closed.reserve, available = available + closed.reserve
        WHERE id = closed.buyer;
    INSERT INTO posting (rfq, account, bucket, amount) VALUES
        (p_rfq, closed.buyer, 'held', -closed.reserve),
        (p_rfq, closed.buyer, 'available', closed.reserve);
    RETURN NULL;
END $$ LANGUAGE plpgsql;

-- Runs whole auctions of 10 quotes inside the server, without a client.
CREATE FUNCTION run_auctions(p_from integer, p_count integer) RETURNS void AS $$
DECLARE first integer;
BEGIN
    FOR n IN p_from .. p_from + p_count - 1 LOOP
        PERFORM open_rfq(n, 1 + floor(random() * 1000)::integer, 40000000);
        first := floor(random() * 1000)::integer;
        FOR quote IN 0 .. 9 LOOP
            PERFORM place_quote(n, 1001 + (first + quote * 97) % 1000,
                10000000 + floor(random() * 35000001)::bigint);
        END LOOP;
        PERFORM close_rfq(n);
    END LOOP;
END $$ LANGUAGE plpgsql;

-- Buyers are 1 to 1000, providers 1001 to 2000.
INSERT INTO account (id, available) SELECT n, 1000000000000000 FROM generate_series(1, 2000) AS n;
