//! What PostgreSQL itself holds after a round, asked by its own client: what is there, how often, and
//! who wrote under whose epoch.

use std::collections::BTreeMap;

use anyhow::Context as _;

use super::book::Book;
use super::postgres::Server;
use crate::drive::wire;

/// Notes each change of a service's head, and by whose connection; each node is a user of its own.
const WATCH: &str = "
CREATE SCHEMA faults;
CREATE TABLE faults.heads (
  id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz NOT NULL DEFAULT clock_timestamp(),
  who text NOT NULL DEFAULT session_user, service bytea NOT NULL, epoch bigint NOT NULL,
  seq bigint NOT NULL, claimed boolean NOT NULL);
CREATE FUNCTION faults.note() RETURNS trigger LANGUAGE plpgsql AS $fn$
BEGIN
  INSERT INTO faults.heads (service, epoch, seq, claimed)
  VALUES (NEW.service, NEW.epoch, NEW.seq, TG_OP = 'INSERT' OR NEW.epoch <> OLD.epoch);
  RETURN NULL;
END $fn$;
CREATE TRIGGER note AFTER INSERT OR UPDATE OF epoch, seq ON usher.heads
  FOR EACH ROW EXECUTE FUNCTION faults.note();
INSERT INTO faults.heads (service, epoch, seq, claimed, who)
  SELECT service, epoch, seq, true, '' FROM usher.heads;";

/// Commits by somebody else than who had claimed the epoch, and epochs that fell.
const STALE: &str = "
WITH noted AS (
  SELECT id, who, claimed, epoch,
    max(epoch) OVER (PARTITION BY service ORDER BY id) AS newest,
    first_value(who) OVER (PARTITION BY service, epoch ORDER BY claimed DESC, id) AS owner
  FROM faults.heads)
SELECT count(*) FROM noted
WHERE NOT claimed AND owner <> '' AND (who <> owner OR epoch < newest)";

const OWNER: &str = "SELECT who FROM faults.heads WHERE who <> '' ORDER BY id DESC LIMIT 1";
const RECEIVED: &str = "
SELECT substring(body FROM '\"provider_id\":\"([^\"]+)\"'), count(*) FROM usher.journal
WHERE body LIKE '%\"event\":\"message_received\"%' GROUP BY 1";
/// Nobody here closes: a visitor has one enquiry.
const OPENED_TWICE: &str = "
SELECT count(*) FROM (
  SELECT 1 FROM usher.journal WHERE body LIKE '%\"event\":\"enquiry_opened\"%'
  GROUP BY substring(body FROM '\"visitor\":\"([^\"]+)\"') HAVING count(*) > 1) twice";
const QUEUED: &str = "
SELECT substring(body FROM '\"message\":\"([^\"]+)\"') FROM usher.journal
WHERE body LIKE '%\"event\":\"message_queued\"%'";
/// The same record twice, whatever it says, would have one number.
const LAST: &str = "SELECT coalesce(sum(seq), 0) FROM usher.heads";

/// What is wrong with the records; all of it should be 0.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Wrong {
    pub(super) lost: u64,
    pub(super) doubled: u64,
    pub(super) stale: u64,
}

pub(super) async fn watch(server: &Server) -> anyhow::Result<()> {
    server.say("usher", WATCH).await.map(drop)
}

/// Which node has written last.
pub(super) async fn owner(server: &Server) -> anyhow::Result<String> {
    let who = server.say("usher", OWNER).await?;
    anyhow::ensure!(!who.is_empty(), "nobody has written");
    Ok(who)
}

/// How far all services have come.
pub(super) async fn last(server: &Server) -> anyhow::Result<u64> {
    server.say("usher", LAST).await?.parse().context("a number of records")
}

/// Whether webhooks wait that a node has kept for another; an older build has no such place.
pub(super) async fn is_waited(server: &Server) -> bool {
    let told = server.say("usher", "SELECT EXISTS (SELECT 1 FROM usher.inbox)").await;
    told.is_ok_and(|told| told == "t")
}

pub(super) async fn judge(server: &Server, book: &Book) -> anyhow::Result<Wrong> {
    let received = server.say("usher", RECEIVED).await?;
    let received: BTreeMap<&str, u64> = received
        .lines()
        .filter_map(|line| line.split_once('|'))
        .filter_map(|(id, times)| Some((id, times.parse().ok()?)))
        .collect();
    let is_kept = |id: &u64| received.contains_key(wire::wamid(*id).as_str());
    let lost = book.acknowledged.iter().filter(|id| !is_kept(id)).count() as u64;
    let twice: u64 = received.values().map(|times| times - 1).sum();
    let opened: u64 = server.say("usher", OPENED_TWICE).await?.parse()?;
    let queued = server.say("usher", QUEUED).await?;
    let queued: std::collections::BTreeSet<&str> = queued.lines().collect();
    let unkept = book.promised.iter().filter(|message| !queued.contains(message.as_str()));
    let stale = server.say("usher", STALE).await?.parse()?;
    Ok(Wrong {
        lost: lost + unkept.count() as u64,
        doubled: twice + opened + book.sent_again(),
        stale,
    })
}
