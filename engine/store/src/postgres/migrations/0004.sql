-- Who goes on with a service although the lease says nothing, and until when nobody else may claim it.
ALTER TABLE usher.heads ADD COLUMN held_by text, ADD COLUMN held_until timestamptz;
