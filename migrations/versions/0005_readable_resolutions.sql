-- The enclave reads no more of a document, nor of its signatures. Not of what stands there already: that cannot be taken
-- away, and the enclave cuts it.
ALTER TABLE key_resolutions ADD CONSTRAINT key_resolutions_can_be_read
    CHECK (octet_length(document) <= 1048576 AND octet_length(signatures::text) <= 16384) NOT VALID;
