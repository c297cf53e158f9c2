ALTER TABLE notices
    DROP CONSTRAINT notices_source_check,
    ADD CONSTRAINT notices_source_check CHECK (source IN ('webhook', 'file', 'answer', 'status', 'statement'));

DROP INDEX notices_unheeded;
CREATE INDEX notices_unheeded ON notices (id) WHERE processed_at IS NULL AND source IN ('webhook', 'file');
