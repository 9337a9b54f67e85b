-- Everything is keyed by service. `seq` is the service's journal sequence, `id` the journal's row
-- (it rises over all services), instants are milliseconds since 1970, ids are 16 bytes.

CREATE TABLE through (one INTEGER PRIMARY KEY CHECK (one = 1), journal_id INTEGER NOT NULL);
INSERT INTO through VALUES (1, 0);
CREATE TABLE positions (
  service BLOB PRIMARY KEY, seq INTEGER NOT NULL, journal_id INTEGER NOT NULL,
  stuck INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;

CREATE TABLE settings (
  service BLOB PRIMARY KEY, seq INTEGER NOT NULL, at INTEGER NOT NULL, settings TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE numbers (
  service BLOB, channel BLOB, phone_number_id TEXT NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY (service, channel)) WITHOUT ROWID;
CREATE TABLE templates (
  service BLOB, channel BLOB, seq INTEGER NOT NULL, at INTEGER NOT NULL, templates TEXT NOT NULL,
  PRIMARY KEY (service, channel)) WITHOUT ROWID;

CREATE TABLE visitors (
  service BLOB, visitor BLOB, seq INTEGER NOT NULL, name TEXT, blocked INTEGER NOT NULL,
  opted_out INTEGER NOT NULL, merged_into BLOB, body TEXT NOT NULL,
  PRIMARY KEY (service, visitor)) WITHOUT ROWID;
CREATE TABLE identities (
  service BLOB, kind TEXT, value TEXT, visitor BLOB NOT NULL,
  PRIMARY KEY (service, kind, value)) WITHOUT ROWID;
CREATE INDEX identities_visitor ON identities (service, visitor);
-- An empty channel: the binding holds on all of them.
CREATE TABLE bindings (
  service BLOB, visitor BLOB, kind TEXT, channel BLOB, staff BLOB, set_at INTEGER NOT NULL,
  expires_at INTEGER, PRIMARY KEY (service, visitor, kind, channel, staff)) WITHOUT ROWID;
CREATE INDEX bindings_staff ON bindings (service, staff);

-- `kept`: what a live one goes on from besides its place, and the record it is from. It changes with
-- every message, and so it stands in the row that does.
CREATE TABLE enquiries (
  service BLOB, enquiry BLOB, channel BLOB NOT NULL, visitor BLOB NOT NULL, state TEXT NOT NULL,
  owner BLOB, bot BLOB, epoch INTEGER NOT NULL DEFAULT 0, opened_at INTEGER NOT NULL,
  opened_seq INTEGER NOT NULL, picked_up_at INTEGER, missed_at INTEGER, hold_until INTEGER,
  window_until INTEGER, bucket TEXT, closed_at INTEGER, closed_seq INTEGER, closer TEXT,
  silent INTEGER, reason TEXT, first_message BLOB, last_message BLOB, last_message_at INTEGER,
  messages INTEGER NOT NULL DEFAULT 0, kept TEXT, kept_seq INTEGER,
  PRIMARY KEY (service, enquiry)) WITHOUT ROWID;
CREATE INDEX enquiries_closed ON enquiries (service, closed_at) WHERE closed_at IS NOT NULL;
CREATE INDEX enquiries_opened ON enquiries (service, opened_seq);
CREATE INDEX enquiries_opened_at ON enquiries (service, opened_at);
CREATE INDEX enquiries_state ON enquiries (service, state, opened_seq);
CREATE INDEX enquiries_owner ON enquiries (service, owner, opened_seq) WHERE owner IS NOT NULL;
CREATE INDEX enquiries_visitor ON enquiries (service, visitor, opened_seq);
CREATE TABLE labels (
  service BLOB, enquiry BLOB, label TEXT, by BLOB NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY (service, enquiry, label)) WITHOUT ROWID;
CREATE TABLE members (
  service BLOB, enquiry BLOB, staff BLOB, monitor INTEGER NOT NULL, by BLOB NOT NULL,
  joined_at INTEGER NOT NULL, left_at INTEGER, PRIMARY KEY (service, enquiry, staff)) WITHOUT ROWID;
CREATE TABLE decisions (
  service BLOB, enquiry BLOB, seq INTEGER, at INTEGER NOT NULL, steps TEXT NOT NULL,
  PRIMARY KEY (service, enquiry, seq)) WITHOUT ROWID;
CREATE TABLE events (
  service BLOB, enquiry BLOB, seq INTEGER, at INTEGER NOT NULL, event TEXT NOT NULL,
  PRIMARY KEY (service, enquiry, seq)) WITHOUT ROWID;
CREATE TABLE presences (
  service BLOB, seq INTEGER, at INTEGER NOT NULL, staff BLOB NOT NULL, presence TEXT NOT NULL,
  why TEXT NOT NULL, PRIMARY KEY (service, seq)) WITHOUT ROWID;

-- `touched`: the journal row of the last record about it. `delivery` ranks: 10 queued, 20 unknown, 30 accepted, 40 sent, 50 failed, 60 delivered, 70 read,
-- 80 played. `unsent`: in the outbox; `sending`: the request left and nobody knows what came of it.
CREATE TABLE messages (
  id INTEGER PRIMARY KEY, service BLOB NOT NULL, message BLOB NOT NULL, seq INTEGER NOT NULL,
  at INTEGER NOT NULL, provider_at INTEGER, channel BLOB NOT NULL, visitor BLOB NOT NULL,
  enquiry BLOB, inbound INTEGER NOT NULL, author TEXT, counts TEXT, content TEXT NOT NULL,
  original TEXT, provider_id TEXT, reply_to TEXT, reacts_to TEXT, key TEXT, referral TEXT,
  forwarded INTEGER NOT NULL DEFAULT 0, delivery INTEGER, code INTEGER, title TEXT,
  edited_at INTEGER, revoked_at INTEGER, media_unavailable TEXT, unsent INTEGER NOT NULL DEFAULT 0,
  sending INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0, withdraw_at INTEGER,
  withdrawn INTEGER NOT NULL DEFAULT 0, touched INTEGER NOT NULL);
CREATE UNIQUE INDEX messages_message ON messages (service, message);
CREATE UNIQUE INDEX messages_provider ON messages (service, provider_id)
  WHERE provider_id IS NOT NULL;
CREATE INDEX messages_room ON messages (service, enquiry, seq) WHERE enquiry IS NOT NULL;
CREATE INDEX messages_thread ON messages (service, visitor, channel, seq);
-- What belongs to no enquiry yet.
CREATE INDEX messages_loose ON messages (service, channel, visitor, seq) WHERE enquiry IS NULL;
CREATE INDEX messages_unsent ON messages (service, id) WHERE unsent = 1;
CREATE INDEX messages_undelivered ON messages (service, delivery, id) WHERE delivery IN (20, 50);
CREATE INDEX messages_key ON messages (service, key) WHERE key IS NOT NULL;
CREATE VIRTUAL TABLE messages_text USING fts5 (
  text, content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2');
-- Provider's ids of what is no message of its own: edits, deletions, reactions, notices.
-- `target`: the provider's id of the message it is about.
CREATE TABLE other_ids (
  id INTEGER PRIMARY KEY, service BLOB NOT NULL, provider_id TEXT NOT NULL, at INTEGER NOT NULL,
  target TEXT);
CREATE INDEX other_ids_target ON other_ids (service, target) WHERE target IS NOT NULL;
CREATE UNIQUE INDEX other_ids_provider ON other_ids (service, provider_id);
CREATE TABLE deliveries (
  service BLOB, message BLOB, participant TEXT, delivery INTEGER NOT NULL, at INTEGER NOT NULL,
  code INTEGER, PRIMARY KEY (service, message, participant)) WITHOUT ROWID;
-- `who`: a staff member's or a visitor's id, as text.
CREATE TABLE reactions (
  service BLOB, provider_id TEXT, who TEXT, emoji TEXT NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY (service, provider_id, who)) WITHOUT ROWID;
CREATE TABLE media (
  service BLOB, media BLOB, message BLOB, seq INTEGER NOT NULL, at INTEGER NOT NULL,
  sha256 TEXT NOT NULL,
  mime_type TEXT NOT NULL, bytes INTEGER NOT NULL, filename TEXT,
  PRIMARY KEY (service, media)) WITHOUT ROWID;
CREATE INDEX media_file ON media (sha256);
CREATE INDEX media_at ON media (service, at);

-- The newest state of what is live: places of enquiries, talks, seats, attendances, draws. Of kind
-- `enquiry`: it is live, and its state stands in its row.
CREATE TABLE live (
  service BLOB, kind TEXT, key BLOB, seq INTEGER NOT NULL, state TEXT NOT NULL,
  PRIMARY KEY (service, kind, key)) WITHOUT ROWID;

CREATE TABLE sessions (
  service BLOB, session BLOB, staff BLOB NOT NULL, token_sha256 TEXT NOT NULL,
  opened_at INTEGER NOT NULL, until INTEGER NOT NULL, ended_at INTEGER,
  PRIMARY KEY (service, session)) WITHOUT ROWID;
CREATE INDEX sessions_token ON sessions (token_sha256);

-- What is kept as it came. `kind`: unmatched_receipt, held_receipt (it waits for its message),
-- unknown_number, quarantined, provider_notice.
CREATE TABLE aside (
  service BLOB, kind TEXT, seq INTEGER, at INTEGER NOT NULL, channel BLOB NOT NULL,
  subject TEXT NOT NULL, raw TEXT NOT NULL, PRIMARY KEY (service, kind, seq)) WITHOUT ROWID;
