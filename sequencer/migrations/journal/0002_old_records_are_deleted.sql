-- A snapshot stands for what came before it, so a journal need not keep everything.

COMMENT ON TABLE gavel_journal.record IS
    'Groups of commands, each committed together. Never changed; the oldest are deleted once snapshots stand for them.';
