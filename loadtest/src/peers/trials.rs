//! What each service is put through, and what is read off afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use hdrhistogram::Histogram;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::time::sleep;
use usher_sandbox::SandboxHandle;

use super::agents::{Keeper, Order, Team};
use super::book::{Book, spread};
use super::poster::Crowd;
use super::service::{Kind, Service, Terms};
use super::settings::{GOODBYE, NOTIFICATION};

/// Connections that post at once when the question is how much goes through.
const PRESSING: usize = 128;
/// News have stopped when there was none for so long.
const QUIET: Duration = Duration::from_millis(1500);
/// Longest wait for the last of them.
const SETTLING: Duration = Duration::from_secs(30);

/// One service at work, with its agents and its visitors.
pub(super) struct Stand {
    pub(super) service: Service,
    provider: String,
    team: Team,
    keeper: Keeper,
    crowd: Crowd,
    agents: usize,
}

/// What the throughput rounds gave.
#[derive(Debug)]
pub(super) struct Speed {
    pub(super) acked: u64,
    pub(super) pressing: Duration,
    pub(super) cpu: Duration,
    pub(super) per_round: Vec<f64>,
    pub(super) acks: Histogram<u64>,
    pub(super) pushes: Histogram<u64>,
    pub(super) spread: u64,
}

impl Default for Speed {
    fn default() -> Self {
        let empty = || Histogram::new(3).expect("three digits are allowed");
        Self {
            acked: 0,
            pressing: Duration::ZERO,
            cpu: Duration::ZERO,
            per_round: Vec::new(),
            acks: empty(),
            pushes: empty(),
            spread: 0,
        }
    }
}

/// What the kills and the lost connection left behind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Faith {
    pub(super) acked: u64,
    pub(super) lost: u64,
    pub(super) duplicated: u64,
    pub(super) over_capacity: u64,
}

/// What became of the timers that were running when the service was killed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Silence {
    pub(super) notified: Fired,
    pub(super) closed: Fired,
    /// Messages that may or may not have left when it was killed, and are shown as such; `None`:
    /// the service does not know of such a thing.
    pub(super) shown_unknown: Option<u64>,
}

/// How often each visitor got the two messages of silence: never, once, more often.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Fired {
    pub(super) never: u64,
    pub(super) once: u64,
    pub(super) again: u64,
}

impl Stand {
    pub(super) async fn open(
        mut service: Service,
        terms: &Terms,
        provider: &str,
    ) -> anyhow::Result<Self> {
        service.start(provider).await?;
        let keeper = Keeper::of(Book::new(terms.agents, terms.capacity));
        let team = Team::start(service.desks().await?, &service.link(), &keeper.notes);
        let crowd = Crowd {
            door: Arc::new(service.door()),
            notes: keeper.notes.clone(),
            serials: Arc::new(AtomicU64::new(0)),
            visitors: Arc::new(AtomicU64::new(0)),
        };
        let provider = provider.to_owned();
        let stand = Self { service, provider, team, keeper, crowd, agents: terms.agents };
        stand.all_greeted().await?;
        Ok(stand)
    }

    pub(super) async fn close(self) {
        self.team.leave().await;
    }

    async fn all_greeted(&self) -> anyhow::Result<()> {
        let agents = self.agents;
        let here = self.keeper.until(SETTLING, move |book| book.greeted() == agents).await;
        if !here {
            let greeted = self.keeper.look(|book| book.greeted()).await;
            let name = self.service.kind.name();
            bail!("{name}: {greeted} of {agents} agents:\n{}", self.service.log_end());
        }
        Ok(())
    }

    /// Until nothing was told for a while.
    async fn settle(&self) {
        let quiet = |book: &mut Book| book.last_news().is_none_or(|last| last.elapsed() > QUIET);
        // What has not come by then will be missed in the book.
        self.keeper.until(SETTLING, quiet).await;
    }

    /// One round: as much as goes through, then a steady rate.
    pub(super) async fn round(&self, long: Duration, rate: u32, speed: &mut Speed) {
        let first = self.keeper.look(|book| book.len()).await;
        let (begun, cpu) = (Instant::now(), self.service.cpu());
        self.crowd.press(PRESSING, long).await;
        let took = begun.elapsed();
        speed.cpu += self.service.cpu().saturating_sub(cpu);
        let next = self.keeper.look(|book| book.len()).await;
        let acked = self.keeper.look(move |book| book.acked(&(first..next))).await;
        speed.acked += acked;
        speed.pressing += took;
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
        speed.per_round.push(acked as f64 / took.as_secs_f64());
        self.settle().await;

        let before = self.keeper.look(|book| book.assigned()).await;
        let first = self.keeper.look(|book| book.len()).await;
        self.crowd.steadily(rate, long).await;
        self.settle().await;
        let (acks, pushes, after) = self
            .keeper
            .look(move |book| {
                let all = first..book.len();
                (book.acks(&all), book.pushes(&all), book.assigned())
            })
            .await;
        // Both have the same three digits.
        speed.acks.add(acks).ok();
        speed.pushes.add(pushes).ok();
        speed.spread = speed.spread.max(spread(&before, &after));
    }

    /// SIGKILL several times under a steady load; the provider posts again what got no 200.
    pub(super) async fn kills(&mut self, kills: u32, rate: u32) -> anyhow::Result<Faith> {
        const BETWEEN: Duration = Duration::from_secs(3);
        let first = self.keeper.look(|book| book.len()).await;
        let crowd = self.crowd.clone();
        let writing = tokio::spawn(async move {
            crowd.steadily(rate, BETWEEN * (kills + 1)).await;
        });
        for _ in 0..kills {
            sleep(BETWEEN.mul_f64(rand::random_range(0.7..1.0))).await;
            self.keeper.look(Book::forget_greetings).await;
            self.service.kill();
            self.service.start(&self.provider).await?;
        }
        writing.await.context("the visitors failed")?;
        self.all_greeted().await?;
        self.settle().await;
        let faith = self
            .keeper
            .look(move |book| {
                let all = first..book.len();
                Faith {
                    acked: book.acked(&all),
                    lost: book.lost(&all),
                    duplicated: book.duplicated(&all),
                    over_capacity: book.over_capacity(),
                }
            })
            .await;
        Ok(faith)
    }

    /// One agent after the other is without a connection for a moment, while visitors go on writing.
    pub(super) async fn reconnects(&self, rate: u32, times: usize) -> anyhow::Result<u64> {
        const AWAY: Duration = Duration::from_secs(1);
        let first = self.keeper.look(|book| book.len()).await;
        let crowd = self.crowd.clone();
        let long = AWAY * 2 * u32::try_from(times)?;
        let writing = tokio::spawn(async move { crowd.steadily(rate, long).await });
        for agent in 0..times.min(self.agents) {
            sleep(AWAY).await;
            self.team.order(Order::Without(agent));
            sleep(AWAY).await;
            self.team.order(Order::Serve);
        }
        writing.await.context("the visitors failed")?;
        self.settle().await;
        Ok(self.keeper.look(move |book| book.lost(&(first..book.len()))).await)
    }
}

/// Visitors fall silent one after the other; the service is killed in the midst of it.
pub(super) async fn silence(
    mut service: Service,
    terms: &Terms,
    sandbox: &SandboxHandle,
    visitors: u64,
) -> anyhow::Result<Silence> {
    /// Longer than a job queue takes to notice that its worker died.
    const PATIENCE: Duration = Duration::from_secs(75);
    let provider = sandbox.base_url();
    service.start(&provider).await?;
    let keeper = Keeper::of(Book::new(terms.agents, terms.capacity));
    let team = Team::start(service.desks().await?, &service.link(), &keeper.notes);
    let agents = terms.agents;
    if !keeper.until(SETTLING, move |book| book.greeted() == agents).await {
        bail!("{}: agents are missing:\n{}", service.kind.name(), service.log_end());
    }
    let http = Client::builder().no_proxy().build()?;
    let over = terms.idle + terms.grace;
    let pause = over / u32::try_from(visitors)?;
    for visitor in 0..visitors {
        let address =
            format!("{provider}/sandbox/api/phones/{}/messages", phone(service.kind, visitor));
        let text = json!({ "number": service.kind.number(), "text": format!("m{visitor}") });
        http.post(address).json(&text).send().await?.error_for_status()?;
        sleep(pause).await;
    }
    service.kill();
    service.start(&provider).await?;
    let begun = Instant::now();
    let mut seen = fired(&http, &provider, service.kind, visitors).await?;
    // What would come twice has a moment longer than what came once.
    let mut complete: Option<Instant> = None;
    while begun.elapsed() < PATIENCE && complete.is_none_or(|since| since.elapsed() < over * 2) {
        sleep(Duration::from_millis(250)).await;
        seen = fired(&http, &provider, service.kind, visitors).await?;
        if seen.0.never + seen.1.never == 0 {
            complete.get_or_insert_with(Instant::now);
        }
    }
    let shown_unknown = service.unknown().await?;
    team.leave().await;
    Ok(Silence { notified: seen.0, closed: seen.1, shown_unknown })
}

fn phone(kind: Kind, visitor: u64) -> String {
    format!("4915{}{visitor:07}", kind as u8)
}

/// What the sandbox's ledger says was sent to each visitor: notifications and farewells.
async fn fired(
    http: &Client,
    provider: &str,
    kind: Kind,
    visitors: u64,
) -> anyhow::Result<(Fired, Fired)> {
    let mut sent: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut after = 0;
    loop {
        let address =
            format!("{provider}/sandbox/api/ledger?after={after}&limit=5000&kind=message");
        let page: Value = http.get(address).send().await?.error_for_status()?.json().await?;
        let entries = page["entries"].as_array().context("the ledger has no entries")?;
        for entry in entries.iter().filter(|entry| entry["number"] == kind.number().as_str()) {
            let to = entry["to"].as_str().unwrap_or_default().trim_start_matches('+').to_owned();
            let text = entry["body"]["text"]["body"].as_str().unwrap_or_default().to_owned();
            *sent.entry((to, text)).or_default() += 1;
        }
        after = page["next"].as_u64().unwrap_or_default();
        if entries.len() < 5000 {
            break;
        }
    }
    let of = |text: &str| {
        let times = |visitor| sent.get(&(phone(kind, visitor), text.to_owned())).copied();
        count((0..visitors).map(|visitor| times(visitor).unwrap_or_default()))
    };
    Ok((of(NOTIFICATION), of(GOODBYE)))
}

fn count(times: impl Iterator<Item = u64>) -> Fired {
    let mut fired = Fired::default();
    for times in times {
        match times {
            0 => fired.never += 1,
            1 => fired.once += 1,
            _ => fired.again += 1,
        }
    }
    fired
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_apart() {
        let fired = count([0, 1, 1, 2, 5].into_iter());
        assert_eq!(fired, Fired { never: 1, once: 2, again: 2 });
    }
}
