-- Files, for whichever node has to read them. One that was removed stays known as such: who still has
-- a copy of it hears that it is to go.
CREATE TABLE usher.files (
  sha256 bytea PRIMARY KEY, bytes bigint NOT NULL, removed boolean NOT NULL);

-- Of a file without a row in usher.files not all may be there yet.
CREATE TABLE usher.file_pieces (
  sha256 bytea NOT NULL, at bigint NOT NULL, piece bytea NOT NULL, PRIMARY KEY (sha256, at));
-- WhatsApp's files are compressed already.
ALTER TABLE usher.file_pieces ALTER COLUMN piece SET STORAGE EXTERNAL;
