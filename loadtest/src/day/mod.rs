//! A whole day against a running Usher: visitors come on the day's curve, agents sign in, serve, have
//! lunch, go home; and a report of how it went.

mod agent;
mod clock;
mod curve;
mod draws;
mod habits;
mod own;
mod page;
mod progress;
mod settings;
mod tally;
mod visitor;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep_until};
use usher_domain::ids::GroupId;

use crate::house::Binary;
use agent::Shift;
use clock::Clock;
use curve::Hours;
use habits::{Agent, Plan};
use progress::Progress;
use tally::{Fact, Tally};
use visitor::Outside;

pub use tally::Totals;

/// A whole day of visitors and staff.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// People who answer; about two thirds are at work at a time.
    #[arg(long, default_value_t = 200)]
    pub agents: usize,
    /// People who write.
    #[arg(long, default_value_t = 5000)]
    pub visitors: usize,
    /// How many of the day's seconds pass in one.
    #[arg(long, default_value_t = 60.0)]
    pub speed: f64,
    /// Opening hours.
    #[arg(long, default_value = "8-20")]
    hours: Hours,
    /// Where the report goes.
    #[arg(long, default_value = "day.html")]
    pub report: PathBuf,
    /// The same number gives the same visitors and habits.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// An Usher that runs already, as `http://127.0.0.1:8480`; left out, one is started. Its own times
    /// (to pick up, until it closes) do not pass faster with `--speed`.
    #[arg(long, requires = "accounts", requires = "sandbox")]
    url: Option<String>,
    /// Its agents: a file with an e-mail and a password a line, separated by a blank.
    #[arg(long, requires = "url")]
    accounts: Option<PathBuf>,
    /// Its sandbox, as `http://127.0.0.1:8481`.
    #[arg(long, requires = "url")]
    sandbox: Option<String>,
    #[command(flatten)]
    binary: Binary,
}

/// Where the day takes place.
#[derive(Clone, Debug)]
struct World {
    url: String,
    sandbox: String,
    /// E-mail and password.
    accounts: Vec<(String, String)>,
    /// Numbers to write to, and the part of the visitors that does.
    channels: Vec<(String, f64)>,
    groups: Vec<GroupId>,
}

/// What is asked when the day is over.
#[derive(Debug, Default)]
struct After {
    figures: Vec<(String, String)>,
    shares: Vec<draws::Share>,
}

/// Runs it.
pub fn run(args: &Args) -> anyhow::Result<Totals> {
    ensure!(args.speed > 0.0, "the day has to pass: --speed must be above 0");
    ensure!(args.agents > 0 && args.visitors > 0, "a day needs agents and visitors");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        if let Some(url) = &args.url {
            let world = elsewhere(args, url).await?;
            return spend(args, &world, None).await;
        }
        let own = own::Own::open(args).await?;
        let world = own.world();
        let totals = spend(args, &world, Some(&own)).await?;
        own.close().await;
        Ok(totals)
    })
}

/// An Usher that somebody else started.
async fn elsewhere(args: &Args, url: &str) -> anyhow::Result<World> {
    let path = args.accounts.as_ref().context("--accounts is needed")?;
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let account = |line: &str| {
        let (email, password) = line.split_once(' ')?;
        Some((email.trim().to_owned(), password.trim().to_owned()))
    };
    let accounts: Vec<_> = text.lines().filter_map(account).take(args.agents).collect();
    ensure!(!accounts.is_empty(), "{} has no accounts", path.display());
    let sandbox = args.sandbox.clone().context("--sandbox is needed")?;
    let numbers: Value = reqwest::get(format!("{sandbox}/sandbox/api/numbers"))
        .await?
        .error_for_status()?
        .json()
        .await?;
    let numbers = numbers.as_array().context("the sandbox tells no numbers")?;
    let channels = numbers
        .iter()
        .filter_map(|number| Some((number["phone_number_id"].as_str()?.to_owned(), 1.0)))
        .collect();
    Ok(World { url: url.to_owned(), sandbox, accounts, channels, groups: Vec::new() })
}

async fn spend(args: &Args, world: &World, own: Option<&own::Own>) -> anyhow::Result<Totals> {
    let http = Client::builder().no_proxy().pool_max_idle_per_host(256).build()?;
    println!("{} agents sign in", world.accounts.len());
    let tokens = sign_in(&http, world).await?;
    let clock = Clock::starting(args.hours.from, args.speed);
    let (facts, told) = mpsc::channel(65_536);
    let (tell_over, over) = watch::channel(false);
    let mut staff = JoinSet::new();
    for (place, token) in tokens.into_iter().enumerate() {
        let (plan, shift) = plan(args, world, clock, (place, token), &facts);
        staff.spawn(agent::work(Agent::new(plan), shift, over.clone()));
    }
    let crowd = tokio::spawn(crowd(args.clone(), world.clone(), clock, http, facts));
    let tally = Tally::new(clock, args.hours.from, args.hours.to, args.visitors);
    let tally = add_up(args, clock, tally, told, tell_over).await;
    crowd.await.context("the visitors failed")?;
    while staff.join_next().await.is_some() {}
    let after = match own {
        Some(own) => own.after().await?,
        None => After::default(),
    };
    let page = page::page(args, world, &tally, &after);
    std::fs::write(&args.report, page).with_context(|| args.report.display().to_string())?;
    println!("\n{}", page::summary(&tally));
    println!("report: {}", args.report.display());
    Ok(tally.totals)
}

async fn sign_in(http: &Client, world: &World) -> anyhow::Result<Vec<String>> {
    let mut tokens = Vec::new();
    for (email, password) in &world.accounts {
        let body = json!({ "email": email, "password": password });
        let answer = http.post(format!("{}/v1/sessions", world.url)).json(&body).send().await?;
        let answer: Value = answer.error_for_status().context(email.clone())?.json().await?;
        tokens.push(answer["token"].as_str().context("no token")?.to_owned());
    }
    Ok(tokens)
}

/// Two shifts that overlap in the middle of the day, and lunch in the middle of each.
fn plan(
    args: &Args,
    world: &World,
    clock: Clock,
    (place, token): (usize, String),
    facts: &visitor::Facts,
) -> (Plan, Shift) {
    let Hours { from, to } = args.hours;
    let length = (to - from) * 0.64;
    let mut rng = SmallRng::seed_from_u64(args.seed ^ 0xda7 ^ place as u64);
    let early = place % 5 < 3;
    let begins = if early { from } else { to - length };
    // Nobody is there on the minute; the first are there when the doors open.
    let begins = if early { begins } else { begins - rng.random_range(0.0..0.5) };
    let lunch = begins + length * rng.random_range(0.35..0.6);
    // The late shift stays until the last has been served.
    let home = if early { begins + length + rng.random_range(0.0..0.5) } else { to + 48.0 };
    let address = format!("{}/v1/agent/socket", world.url.replacen("http", "ws", 1));
    let plan = Plan {
        place,
        token,
        seed: args.seed,
        clock,
        lunch: clock.at(lunch),
        home: clock.at(home),
        groups: world.groups.clone(),
    };
    (plan, Shift { address, from: clock.at(begins), facts: facts.clone() })
}

/// Lets the visitors come; done when the last has left.
async fn crowd(args: Args, world: World, clock: Clock, http: Client, facts: visitor::Facts) {
    let mut rng = SmallRng::seed_from_u64(args.seed);
    let first_phone = 491_600_000_000 + rand::random_range(0..90_u64) * 100_000_000;
    let sandbox = world.sandbox.clone();
    let outside = Outside { http, sandbox, clock, facts, seed: args.seed, first_phone };
    let whole: f64 = world.channels.iter().map(|channel| channel.1).sum();
    let mut visits = JoinSet::new();
    for (hour, number) in curve::arrivals(args.visitors, args.hours).into_iter().zip(0..) {
        let due = clock.at(hour);
        sleep_until(due.into()).await;
        let mut drawn = rng.random_range(0.0..whole);
        let channel = world.channels.iter().find(|channel| {
            drawn -= channel.1;
            drawn < 0.0
        });
        let Some((channel, _)) = channel.or(world.channels.last()) else { return };
        visits.spawn(visitor::visit(outside.clone(), number, channel.clone(), due));
        while visits.try_join_next().is_some() {}
    }
    while visits.join_next().await.is_some() {}
}

/// Adds up what is told until all visitors have left, and a little longer for the closings.
async fn add_up(
    args: &Args,
    clock: Clock,
    mut tally: Tally,
    mut told: mpsc::Receiver<(Instant, Fact)>,
    over: watch::Sender<bool>,
) -> Tally {
    /// Seconds of the day after the last has left, for what closes by itself.
    const AFTERWARDS: f64 = 240.0;
    let mut progress = Progress::new((args.hours.from, args.hours.to), args.visitors, args.agents);
    let mut looks = interval(Duration::from_millis(250));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ends: Option<Instant> = None;
    loop {
        tokio::select! {
            heard = told.recv() => match heard {
                Some((at, fact)) => tally.write(at, fact),
                None => return tally,
            },
            _ = looks.tick() => {
                let now = Instant::now();
                tally.sample(now);
                progress.show(clock.hour(now), &tally);
                let left = tally.totals.left_answered + tally.totals.gave_up;
                if left >= args.visitors as u64 {
                    ends.get_or_insert(now + clock.real(AFTERWARDS));
                }
                if ends.is_some_and(|ends| now >= ends) {
                    // Whoever is still at work goes home; their last facts are still read.
                    over.send_replace(true);
                }
            }
        }
    }
}
