//! One round: all is well and under load, a fault befalls it, all is well again; then it is judged.

use std::time::{Duration, Instant};

use super::book::Resumed;
use super::house::House;
use super::nodes::Node;
use super::records::{self, Wrong};
use super::rows::{Builds, Fault, Row};
use crate::measure::show::progress;

const WELL_WITHIN: Duration = Duration::from_mins(1);
const TAKEN_WITHIN: Duration = Duration::from_mins(1);
/// The records have come to rest when there was none for so long.
const QUIET: Duration = Duration::from_secs(1);
/// Where nothing was answered for so long, it is not well.
const ANSWERED_WITHIN: Duration = Duration::from_millis(300);

/// What was seen in a round.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) acknowledged: usize,
    pub(super) wrong: Wrong,
    pub(super) two_owners: u64,
    pub(super) refused: f64,
    pub(super) gap: Duration,
    /// None: nobody was ever offered anything again.
    pub(super) decision: Option<Duration>,
    pub(super) resumed: Resumed,
    /// What it did not come to.
    pub(super) stuck: Option<String>,
}

pub(super) async fn play(house: &mut House, row: Row, builds: &Builds) -> anyhow::Result<Seen> {
    row.prepare(house).await?;
    house.book.turn();
    house.visitors.start(house.terms.rate);
    let well = house.until("it is well before the fault", WELL_WITHIN, is_well).await;
    well?;
    house.pass(house.terms.around).await;
    house.count_refused().await;
    house.take_refused();
    let fault = row.befall(house, builds).await?;
    let mut seen = Seen { stuck: until_well(house, fault).await, ..Seen::default() };
    // Some faults bite only when a lease is renewed.
    house.pass(house.terms.around.max(house.terms.lease)).await;
    house.visitors.stop();
    if let Err(error) = until_taken(house).await {
        seen.stuck.get_or_insert_with(|| error.to_string());
    }
    house.count_refused().await;
    judge(house, fault, &mut seen).await?;
    Ok(seen)
}

async fn is_well(house: &mut House) -> bool {
    let lately = Instant::now().checked_sub(ANSWERED_WITHIN);
    house.book.here() == house.terms.sockets
        && house.nodes.iter().all(Node::runs)
        && lately.is_some_and(|lately| house.book.answered_since(lately))
        && house.balancer.all_live().await
}

async fn until_well(house: &mut House, fault: Fault) -> Option<String> {
    let well = house.until("all is well after the fault", WELL_WITHIN, async |house| {
        house.count_refused().await;
        house.book.decision(fault.mended).is_some() && is_well(house).await
    });
    let error = well.await.err()?;
    progress(&format!("{error:#}"));
    Some(error.to_string())
}

/// Every webhook has its 200, and what follows from it stands in the records.
async fn until_taken(house: &mut House) -> anyhow::Result<()> {
    house
        .until("every webhook is taken", TAKEN_WITHIN, async |house| {
            house.visitors.under_way() == 0
        })
        .await?;
    let (mut last, mut since) = (0, Instant::now());
    house
        .until("the records come to rest", TAKEN_WITHIN, async |house| {
            let Ok(now) = records::last(&house.postgres).await else { return false };
            if now != last || records::is_waited(&house.postgres).await {
                (last, since) = (now, Instant::now());
            }
            since.elapsed() > QUIET
        })
        .await
}

async fn judge(house: &mut House, fault: Fault, seen: &mut Seen) -> anyhow::Result<()> {
    house.listen();
    seen.acknowledged = house.book.answers();
    seen.wrong = records::judge(&house.postgres, &house.book).await?;
    seen.two_owners = house.book.two_at_once();
    seen.refused = house.take_refused();
    seen.gap = house.book.gap(fault.began);
    seen.decision = house.book.decision(fault.mended);
    seen.resumed = house.book.resumed(fault.began);
    Ok(())
}
