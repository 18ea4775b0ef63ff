-- The journal: records, in order, and the one row that says where they end and whose they are.

CREATE TABLE gavel_journal.writer (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    epoch    bigint NOT NULL,
    last_seq bigint NOT NULL,
    chain    bytea NOT NULL CHECK (length(chain) = 32)
);
COMMENT ON TABLE gavel_journal.writer IS
    'Where the journal ends, and who may append to it. Each append moves this row and no other.';
COMMENT ON COLUMN gavel_journal.writer.only_row IS 'There is one row.';
COMMENT ON COLUMN gavel_journal.writer.epoch IS
    'How often the journal has been opened to be written; only the last one to open it may append.';
COMMENT ON COLUMN gavel_journal.writer.last_seq IS
    'The place of the last command; zero for an empty journal.';
COMMENT ON COLUMN gavel_journal.writer.chain IS
    'The chain value of the last record; zeros for an empty journal.';

INSERT INTO gavel_journal.writer (epoch, last_seq, chain)
VALUES (0, 0, decode(repeat('00', 32), 'hex'));

CREATE TABLE gavel_journal.record (
    last_seq      bigint PRIMARY KEY,
    first_seq     bigint NOT NULL CHECK (first_seq BETWEEN 1 AND last_seq),
    rules_version bigint NOT NULL,
    epoch         bigint NOT NULL,
    events_hash   bytea NOT NULL CHECK (length(events_hash) = 32),
    checksum      bytea NOT NULL CHECK (length(checksum) = 32),
    chain         bytea NOT NULL CHECK (length(chain) = 32),
    commands      bytea NOT NULL
);
-- A commit waits for what is written: compressing it would cost more than it saves.
ALTER TABLE gavel_journal.record ALTER COLUMN commands SET STORAGE EXTERNAL;
COMMENT ON TABLE gavel_journal.record IS
    'Groups of commands, each committed together. Never changed and never deleted.';
COMMENT ON COLUMN gavel_journal.record.last_seq IS 'The place of the last command.';
COMMENT ON COLUMN gavel_journal.record.first_seq IS
    'The place of the first command: one more than the last of the record before.';
COMMENT ON COLUMN gavel_journal.record.rules_version IS
    'The version of the rules that the commands were applied under.';
COMMENT ON COLUMN gavel_journal.record.epoch IS 'The epoch of the writer that appended it.';
COMMENT ON COLUMN gavel_journal.record.events_hash IS
    'The events that the commands caused, condensed (BLAKE3, 32 bytes).';
COMMENT ON COLUMN gavel_journal.record.checksum IS 'The record, condensed (BLAKE3, 32 bytes).';
COMMENT ON COLUMN gavel_journal.record.chain IS
    'The journal up to and including this record, condensed (BLAKE3, 32 bytes).';
COMMENT ON COLUMN gavel_journal.record.commands IS
    'The commands: each a length (u32, little-endian, bytes) and an rkyv archive.';
