//! P14: sending at the number's limit while the provider fails now and then: how near the limit it
//! comes, and whether anything is told twice or out of order. The sandbox's ledger judges.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures_util::SinkExt as _;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use usher_domain::ids::EnquiryId;
use usher_protocol::command::{Command, Key, Outgoing};
use usher_protocol::frame::ClientFrame;
use usher_sandbox::{NumberOptions, ReceiptsOptions, Sandbox, SandboxHandle, SandboxOptions};

use super::Options;
use super::crowd::{Heard, Told, heard};
use crate::drive::wire;
use crate::house::{
    Channel, Desk, Desks, Group, House, Node, PLATFORM_SECRET, Shop, WEBHOOK_SECRET,
};
use crate::measure::show::{Goal, Report, progress};

/// Messages a second that one agent writes, or a program for them.
const EACH_WRITES: u64 = 4;
/// To one visitor: far below a burst of 45, so that a line in doubt holds up little.
const EACH_MOST: u64 = 8;
/// So many open at once, and the next ones when somebody has each: what agents are told of more than
/// these would not fit into the feed of one of them.
const BATCH: usize = 100;
const PAGE: usize = 5_000;
/// What waits in the outbox from the beginning on, and by how much faster than the limit more comes.
const AHEAD_SECONDS: f64 = 2.0;
const FASTER: f64 = 1.1;
/// A line waits up to 60 s for word of a message that may have been sent; another may follow it.
const OVER_WITHIN: Duration = Duration::from_mins(6);
/// Nothing has waited for so long, a line in doubt included: whatever is missing will not come.
const QUIET_FOR: Duration = Duration::from_secs(75);
const UNKNOWN: &str = "usher_outbound_unknown_total";
/// Faults that keep a request from being accepted.
const NOT_TAKEN: [&str; 2] = ["Html502", "Rate429"];

pub(super) async fn run(options: &Options) -> anyhow::Result<()> {
    let mut report = Report::begin("P14 Outbound", &options.command("outbound"));
    for limit in &[80_u64, 1_000] {
        let seconds = options.either(15, 30);
        let messages = limit * seconds;
        let mut bench = Bench::open(options, *limit, messages).await?;
        bench.faults().await?;
        bench.send(*limit, messages).await?;
        let over = bench.until_over(messages).await;
        let judged = bench.judge(messages, seconds).await?;
        let unknown = bench.house.metric(UNKNOWN).await?;
        tell(&judged, (*limit, messages, unknown), &mut report);
        // What is known is told also where it did not end.
        if let Err(error) = over {
            report.text(&format!("{limit} messages/s: **not over**"), error.to_string());
        }
    }
    report.end();
    Ok(())
}

fn tell(judged: &Judged, (limit, messages, unknown): (u64, u64, f64), report: &mut Report) {
    let what = |text: &str| format!("{limit} messages/s: {text}");
    let share = |rate: f64| rate / limit as f64;
    let goal = Some(Goal::AtLeast(0.98));
    report.figure(&what("requests at the provider's door / limit"), share(judged.rate), "", goal);
    // Three in two hundred cannot be: 1 % is told 429, and half of the 5xx are not taken.
    report.figure(&what("accepted / limit"), share(judged.accepted), "", None);
    let none = Some(Goal::AtMost(0.0));
    report.figure(&what("out of order"), judged.reordered as f64, "", none);
    report.figure(&what("accepted twice"), judged.twice as f64, "", none);
    let lost = judged.absent as f64 - unknown;
    report.figure(&what("neither accepted nor shown as unknown"), lost.max(0.0), "", none);
    let text = format!("{unknown} of {messages}; {} never accepted", judged.absent);
    report.text(&what("ended as unknown"), text);
    let text = format!("{}; refused besides: {}", judged.faults, judged.refused);
    report.text(&what("faults that struck"), text);
}

struct Bench {
    house: House,
    sandbox: SandboxHandle,
    desks: Desks,
    told: Receiver<Told>,
    /// Who answers whom where.
    held: BTreeMap<u64, (usize, EnquiryId)>,
}

impl Bench {
    async fn open(options: &Options, limit: u64, messages: u64) -> anyhow::Result<Self> {
        let agents = usize::try_from(limit / EACH_WRITES)?;
        let groups = vec![Group::new("g", 0..agents).at_once()];
        let shop = Shop { agents, capacity: 1_000, groups, channels: vec![Channel::to("g")] };
        let fast = "10000".to_owned();
        let set = vec![
            ("limits.commands_per_second", fast.clone()),
            ("limits.commands_burst", fast),
            ("provider.messages_per_second", limit.to_string()),
            ("provider.timeout", "5s".to_owned()),
            ("provider.in_flight_max", "64".to_owned()),
        ];
        // Where each is, the other has to know before it starts.
        let sandbox = Sandbox::start(SandboxOptions {
            // One receipt each is enough to hear of what was in doubt.
            receipts: ReceiptsOptions {
                auto_delivered: false,
                auto_read: false,
                ..ReceiptsOptions::default()
            },
            ..SandboxOptions::default()
        })?;
        let node = Node { provider: Some(sandbox.base_url()), set, ..Node::default() };
        let house = House::open(&options.binary, &shop, node).await?;
        let (teller, told) = channel();
        let desks = Desk::open_all(&house, 0..agents).await?;
        let desks = Desks::hear(desks, move |agent, text| {
            if let Some(heard) = heard(text) {
                // Whoever does not listen any more has all it wanted.
                teller.send(Told { agent, at: Instant::now(), heard }).ok();
            }
        });
        let mut bench = Self { house, sandbox, desks, told, held: BTreeMap::new() };
        bench.number(limit).await?;
        bench.visitors(messages.div_ceil(EACH_MOST).max(agents as u64)).await?;
        Ok(bench)
    }

    async fn number(&self, limit: u64) -> anyhow::Result<()> {
        let id = Shop::phone_number_id(0);
        let NumberOptions { display_phone_number, .. } =
            NumberOptions::new(&id, "+1 555 0100", &Shop::source(0), &Shop::api_key(0));
        let number = json!({
            "phone_number_id": id, "display_phone_number": display_phone_number,
            "waba_id": Shop::source(0), "api_key": Shop::api_key(0),
            "webhook_url": self.house.url(&Shop::hook(0)),
            "webhook_headers": [["X-Usher-Secret", WEBHOOK_SECRET]],
            "signing_secret": PLATFORM_SECRET, "mps": limit,
        });
        self.post("numbers", &number).await.map(|_| ())
    }

    /// Each writes once, and somebody has it.
    async fn visitors(&mut self, count: u64) -> anyhow::Result<()> {
        let all: Vec<Value> = (0..count)
            .map(|visitor| json!({"from": wire::wa_id(visitor), "type": "text", "text": "Hello"}))
            .collect();
        let began = Instant::now();
        for some in all.chunks(BATCH) {
            self.post("batch", &json!(some)).await?;
            let posted = self.held.len() + some.len();
            while self.held.len() < posted {
                self.listen();
                let served = self.held.len();
                ensure!(began.elapsed() < OVER_WITHIN, "only {served} visitors are served");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        // What came in counts towards the number's limit, and has passed.
        tokio::time::sleep(Duration::from_secs(2)).await;
        progress(&format!("{count} visitors are served"));
        Ok(())
    }

    /// Notes who has become whose.
    fn listen(&mut self) {
        for Told { agent, heard, .. } in self.told.try_iter() {
            if let Heard::Owns { visitor, enquiry } = heard {
                self.held.insert(visitor, (agent, enquiry));
            }
        }
    }

    /// 1 % each of 5xx and 429, 0.1 % accepted without a word.
    async fn faults(&self) -> anyhow::Result<()> {
        let faults = json!({
            "html_502": {"probability": 0.005}, "ambiguous_5xx": {"probability": 0.005},
            "rate_429": {"probability": 0.01}, "accept_then_timeout": {"probability": 0.001},
        });
        self.post("faults", &faults).await.map(|_| ())
    }

    /// A little faster than the limit: the outbox never runs empty, nor over.
    async fn send(&mut self, limit: u64, messages: u64) -> anyhow::Result<()> {
        let held: Vec<(u64, (usize, EnquiryId))> =
            self.held.iter().map(|(visitor, held)| (*visitor, *held)).collect();
        let (began, mut number) = (Instant::now(), 0);
        while number < messages {
            let due = (began.elapsed().as_secs_f64() * FASTER + AHEAD_SECONDS) * limit as f64;
            while number < messages && (number as f64) < due {
                let place = usize::try_from(number)? % held.len();
                let (visitor, (agent, enquiry)) = held[place];
                let key = Key::try_from(format!("k{number}")).ok().context("a key")?;
                let content = Outgoing::Text { body: format!("{visitor} {number}") };
                let command = Command::Send { enquiry, key, content, reply_to: None };
                let frame = ClientFrame::Command { id: number + 1, command }.encode();
                self.desks.writers[agent].send(Message::text(frame)).await?;
                number += 1;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        progress(&format!("{messages} messages handed over"));
        Ok(())
    }

    /// Until nothing waits any more: what is in doubt has become unknown, or was heard of.
    async fn until_over(&self, messages: u64) -> anyhow::Result<()> {
        let began = Instant::now();
        let mut waited = began;
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let accepted = self.get("stats").await?["accepted"].as_u64().context("no count")?;
            let unknown = self.house.metric(UNKNOWN).await?;
            let waiting = self.house.metric("usher_outbound_pending").await?;
            if waiting >= 1.0 {
                waited = Instant::now();
            } else if accepted as f64 + unknown >= messages as f64 {
                return Ok(());
            }
            let text =
                format!("{accepted} of {messages} accepted, {unknown} unknown, {waiting} wait");
            ensure!(began.elapsed() < OVER_WITHIN && waited.elapsed() < QUIET_FOR, "{text}");
        }
    }

    async fn judge(&self, messages: u64, seconds: u64) -> anyhow::Result<Judged> {
        let accepted = self.ledger("message").await?;
        let struck = self.ledger("fault").await?;
        let refused = self.ledger("refused").await?;
        let mut judged = judge(&accepted, messages)?;
        let not_taken = |entry: &&Value| {
            NOT_TAKEN.iter().any(|fault| entry["fault"] == *fault && entry["on"] == "messages")
        };
        let accepted = times(accepted.iter());
        let mut at_door = accepted.clone();
        at_door.extend(times(struck.iter().filter(not_taken).chain(&refused)));
        let began = at_door.iter().min().copied().unwrap_or_default();
        // Without the first second, and without the last two: then less and less waits.
        let span = (began + 1_000, began + seconds * 1_000 - 2_000);
        (judged.rate, judged.accepted) = (rate(&at_door, span), rate(&accepted, span));
        judged.refused = refused.len();
        let faults = self.get("faults").await?;
        let hits = |name: &str| format!("{name} {}", faults[name]["hits"]);
        let names = ["html_502", "ambiguous_5xx", "rate_429", "accept_then_timeout"];
        judged.faults = names.map(hits).join(", ");
        Ok(judged)
    }

    async fn ledger(&self, kind: &str) -> anyhow::Result<Vec<Value>> {
        let (mut entries, mut after) = (Vec::new(), 0);
        loop {
            let page = self.get(&format!("ledger?after={after}&limit={PAGE}&kind={kind}")).await?;
            let more = page["entries"].as_array().context("no entries")?;
            entries.extend(more.iter().cloned());
            after = page["next"].as_u64().context("no next")?;
            if more.len() < PAGE {
                return Ok(entries);
            }
        }
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let address = format!("{}/sandbox/api/{path}", self.sandbox.base_url());
        Ok(self.house.http.get(address).send().await?.error_for_status()?.json().await?)
    }

    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let address = format!("{}/sandbox/api/{path}", self.sandbox.base_url());
        let answer = self.house.http.post(address).json(body).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }
}

/// What the ledger says.
#[derive(Debug, Default)]
struct Judged {
    /// Requests a second that came to the provider, whatever it made of them.
    rate: f64,
    /// Of these, messages it took.
    accepted: f64,
    reordered: u64,
    twice: u64,
    absent: u64,
    refused: usize,
    faults: String,
}

fn times<'a>(entries: impl Iterator<Item = &'a Value>) -> Vec<u64> {
    entries.filter_map(|entry| entry["at_ms"].as_u64()).collect()
}

/// How many a second within a span of milliseconds. What comes within its first and last second
/// counts in part: a limit by the second lets a burst through each second, and it must not matter
/// whether the span begins before or after one.
fn rate(times: &[u64], (from, to): (u64, u64)) -> f64 {
    let seconds = |ms: u64| ms as f64 / 1e3;
    let weight = |at: u64| {
        let inside = at.saturating_sub(from).min(to.saturating_sub(at));
        seconds(inside).min(1.0)
    };
    let sum: f64 = times.iter().map(|at| weight(*at)).sum();
    sum / (seconds(to.saturating_sub(from)) - 1.0).max(1e-3)
}

fn judge(accepted: &[Value], messages: u64) -> anyhow::Result<Judged> {
    let mut judged = Judged::default();
    let (mut seen, mut last) = (BTreeSet::new(), BTreeMap::new());
    for entry in accepted {
        let text = entry["body"]["text"]["body"].as_str().context("not a text")?;
        // Above it may stand who says so.
        let text = text.lines().last().unwrap_or_default();
        let (visitor, number) = text.split_once(' ').context("not one of ours")?;
        let number: u64 = number.parse()?;
        judged.twice += u64::from(!seen.insert(number));
        let before = last.insert(visitor.to_owned(), number);
        judged.reordered += u64::from(before.is_some_and(|before| before > number));
    }
    judged.absent = messages.saturating_sub(seen.len() as u64);
    Ok(judged)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Value {
        json!({"body": {"text": {"body": text}}})
    }

    #[test]
    fn the_ledger_shows_what_was_told_twice_out_of_order_or_not_at_all() {
        let told = ["1 0", "2 1", "1 3", "1 2", "2 1"].map(entry);
        let judged = judge(&told, 6).unwrap();
        assert_eq!((judged.reordered, judged.twice, judged.absent), (1, 1, 2));
        let right = ["1 0", "2 1", "1 2"].map(entry);
        let judged = judge(&right, 3).unwrap();
        assert_eq!((judged.reordered, judged.twice, judged.absent), (0, 0, 0));
    }

    /// A sliding second lets everything through at its beginning: wherever the span begins, it is
    /// the same rate.
    #[test]
    fn bursts_at_every_second_are_the_rate_they_are_on_average() {
        let bursts: Vec<u64> = (0..30).flat_map(|second| [second * 1_000; 80]).collect();
        let even: Vec<u64> = (0..2_400).map(|place| place * 1_000 / 80).collect();
        for shift in [0, 1, 250, 500, 999] {
            let span = (5_000 + shift, 25_000 + shift);
            for times in [&bursts, &even] {
                let rate = rate(times, span);
                assert!((rate - 80.0).abs() < 0.05, "{shift}: {rate}");
            }
        }
        let idle: Vec<u64> = even.into_iter().filter(|at| *at < 15_000).collect();
        assert!((rate(&idle, (5_000, 25_000)) - 40.0).abs() < 2.5);
    }
}
