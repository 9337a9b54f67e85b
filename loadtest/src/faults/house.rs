//! Three nodes with their PostgreSQL, Redis and provider, the agents at them and the visitors who
//! write: what a fault befalls.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::agents::Team;
use super::balancer::Balancer;
use super::book::{Book, Fact};
use super::ground::Kind;
use super::nodes::{Build, Common, NODES, Node};
use super::postgres::Server;
use super::redis::{Redis, Shape};
use super::visitors::Visitors;
use super::{Terms, records};
use crate::house::{Channel, Group, PASSWORD, Provider, Shop, answers};

/// WhatsApp numbers, each with a channel.
const CHANNELS: usize = 8;
/// Enough for every visitor of a row.
const CAPACITY: u16 = 1_000;
const READY_WITHIN: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Sign-ins at once.
const AT_ONCE: usize = 32;
/// Metrics that count what was refused for being too late.
const REFUSED: [&str; 2] = ["usher_commits_superseded_total", "usher_relay_stale_total"];

/// What a row stands on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stand {
    pub(super) kind: Kind,
    pub(super) shape: Shape,
    /// PostgreSQL on a disk that can be filled.
    pub(super) small: bool,
}

/// All of it.
pub(super) struct House {
    // Dropped in this order: who asks before who answers.
    _team: Team,
    pub(super) visitors: Rc<Visitors>,
    pub(super) balancer: Rc<Balancer>,
    pub(super) nodes: Vec<Node>,
    pub(super) redis: Redis,
    pub(super) postgres: Server,
    provider: Provider,
    facts: Receiver<(Instant, Fact)>,
    pub(super) book: Book,
    refused: Refused,
    pub(super) terms: Terms,
    dir: Option<TempDir>,
    path: PathBuf,
}

/// A counter begins anew with its process.
#[derive(Debug, Default)]
struct Refused {
    last: [f64; NODES],
    sum: f64,
}

impl House {
    pub(super) async fn open(stand: Stand, build: &Build, terms: &Terms) -> anyhow::Result<Self> {
        let shop = shop(terms.people());
        let dir = tempfile::Builder::new().prefix("usher-faults-").tempdir_in(&terms.dir)?;
        let path = dir.path().to_owned();
        let redis = Redis::start(stand.kind.place(8)?, stand.shape).await?;
        let postgres = Server::start(stand.kind.place(9)?, stand.small).await?;
        let provider = Provider::start_at(stand.kind.mine())?;
        let common = Common {
            redis: redis.url(),
            provider: provider.url.clone(),
            lease: terms.lease,
            dir: path.clone(),
        };
        common.write(&shop)?;
        let mut nodes = Vec::new();
        for number in 1..=NODES {
            let who = format!("node{number}");
            postgres.say("usher", &format!("CREATE ROLE {who} LOGIN SUPERUSER")).await?;
            let (place, store) = (stand.kind.place(u8::try_from(number)?)?, postgres.url(&who));
            nodes.push(Node::new(who, place, build, &common, store)?);
        }
        let balancer = Balancer::start(nodes.iter().map(Node::http));
        let (tell, facts) = channel();
        // The first brings the database up to date, and the others find it so.
        nodes[0].start()?;
        until_ready(&mut nodes, &balancer).await?;
        records::watch(&postgres).await?;
        for node in &mut nodes[1..] {
            node.start()?;
        }
        let tokens = sign_in(&balancer, terms.people()).await?;
        let team = Team::start(&tokens, terms.sockets, &balancer, &tell);
        let visitors = Visitors::new(CHANNELS, Rc::clone(&balancer), tell);
        let mut house = Self {
            _team: team,
            visitors,
            balancer,
            nodes,
            redis,
            postgres,
            provider,
            facts,
            book: Book::default(),
            refused: Refused::default(),
            terms: terms.clone(),
            dir: Some(dir),
            path,
        };
        house
            .until("everybody is there", READY_WITHIN, async |house| {
                house.book.here() == house.terms.sockets && house.balancer.all_live().await
            })
            .await?;
        Ok(house)
    }

    /// Takes in what was said since.
    pub(super) fn listen(&mut self) {
        for (visitor, at) in self.visitors.opened() {
            self.book.open(visitor, at);
        }
        for (at, fact) in self.facts.try_iter() {
            self.book.write(at, fact);
        }
        for sent in self.provider.take() {
            self.book.sent(&sent);
            self.visitors.accepted(sent);
        }
    }

    /// Time passes, and is listened to.
    pub(super) async fn pass(&mut self, span: Duration) {
        let until = Instant::now() + span;
        while Instant::now() < until {
            self.listen();
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Until it is so; an error says what it did not come to, and why.
    pub(super) async fn until(
        &mut self,
        what: &str,
        within: Duration,
        mut is_so: impl AsyncFnMut(&mut Self) -> bool,
    ) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            self.listen();
            if is_so(self).await {
                return Ok(());
            }
            if began.elapsed() > within {
                let ended: Vec<String> =
                    self.nodes.iter_mut().filter_map(Node::has_ended).collect();
                let (here, ready) = (self.book.here(), self.balancer.ready());
                let under_way = self.visitors.under_way();
                bail!(
                    "stuck: not after {within:?}: {what} ({here} agents here, {ready} nodes ready, \
                     {under_way} webhooks under way{}{})",
                    if ended.is_empty() { "" } else { "; " },
                    ended.join("; ")
                );
            }
            self.pass(Duration::from_millis(50)).await;
        }
    }

    /// Which node runs the services: the one that has written last.
    pub(super) async fn owner(&self) -> anyhow::Result<usize> {
        let who = records::owner(&self.postgres).await?;
        let place = self.nodes.iter().position(|node| node.name == who);
        place.with_context(|| format!("{who} is none of the nodes"))
    }

    /// What a node says of itself.
    pub(super) async fn metrics(&self, node: &Node) -> anyhow::Result<String> {
        quick_get(&format!("http://{}/metrics", node.metrics())).await
    }

    /// Counts what nodes have refused as too late since this was last asked.
    pub(super) async fn count_refused(&mut self) {
        for at in 0..NODES {
            let Ok(text) = self.metrics(&self.nodes[at]).await else { continue };
            let now: f64 = REFUSED.iter().map(|name| answers::metric(&text, name)).sum();
            let before = std::mem::replace(&mut self.refused.last[at], now);
            self.refused.sum += if now < before { now } else { now - before };
        }
    }

    pub(super) fn take_refused(&mut self) -> f64 {
        std::mem::take(&mut self.refused.sum)
    }

    /// What it wrote stays, for whoever looks for the reason.
    pub(super) fn keep(&mut self) -> PathBuf {
        if let Some(dir) = self.dir.take() {
            return dir.keep();
        }
        self.path.clone()
    }
}

async fn quick_get(address: &str) -> anyhow::Result<String> {
    let client =
        reqwest::Client::builder().no_proxy().timeout(Duration::from_millis(300)).build()?;
    Ok(client.get(address).send().await?.text().await?)
}

async fn until_ready(nodes: &mut [Node], balancer: &Balancer) -> anyhow::Result<()> {
    let began = Instant::now();
    while balancer.ready() == 0 {
        if let Some(ended) = nodes[0].has_ended() {
            let log = std::fs::read_to_string(nodes[0].log()).unwrap_or_default();
            bail!("{ended}:\n{log}");
        }
        ensure!(began.elapsed() < READY_WITHIN, "the first node does not become ready");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

fn shop(agents: usize) -> Shop {
    let each = agents.div_ceil(CHANNELS);
    let groups = (0..CHANNELS).map(|number| {
        let members = (number * each).min(agents)..((number + 1) * each).min(agents);
        Group::new(format!("g{number}"), members).at_once()
    });
    let channels =
        (0..CHANNELS).map(|number| Channel { welcome: true, ..Channel::to(format!("g{number}")) });
    Shop { agents, capacity: CAPACITY, groups: groups.collect(), channels: channels.collect() }
}

async fn sign_in(balancer: &Balancer, agents: usize) -> anyhow::Result<Vec<String>> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let all: Vec<usize> = (0..agents).collect();
    let mut tokens = Vec::with_capacity(agents);
    for some in all.chunks(AT_ONCE) {
        let signing = some.iter().map(|agent| token(balancer, &client, *agent));
        tokens.extend(try_join_all(signing).await.context("an agent could not sign in")?);
    }
    Ok(tokens)
}

/// By whichever node takes it: those that have just begun may not know yet whom to ask.
async fn token(
    balancer: &Balancer,
    client: &reqwest::Client,
    agent: usize,
) -> anyhow::Result<String> {
    let body = json!({"email": Shop::email(agent), "password": PASSWORD});
    let began = Instant::now();
    loop {
        if let Some(door) = balancer.pick() {
            let address = format!("http://{}/v1/sessions", door.address);
            let answer = client.post(&address).json(&body).send().await;
            match answer.and_then(reqwest::Response::error_for_status) {
                Ok(answer) => {
                    let answer: Value = answer.json().await?;
                    return answer["token"].as_str().map(str::to_owned).context("no token");
                }
                Err(error) if began.elapsed() > READY_WITHIN => return Err(error.into()),
                Err(_) => {}
            }
        }
        ensure!(began.elapsed() < READY_WITHIN, "no node is ready");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
