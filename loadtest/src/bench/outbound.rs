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

const AGENTS: usize = 20;
/// Each may get a burst of 45.
const EACH_MOST: u64 = 40;
const BATCH: usize = 500;
const PAGE: usize = 5_000;
/// A line waits up to 60 s for word of a message that may have been sent.
const OVER_WITHIN: Duration = Duration::from_mins(6);

pub(super) async fn run(options: &Options) -> anyhow::Result<()> {
    let mut report = Report::begin("P14 Outbound", &options.command("outbound"));
    for limit in options.either(&[80_u64][..], &[80, 1_000][..]) {
        let seconds = options.either(10, 30);
        let mut bench = Bench::open(options, *limit, limit * seconds).await?;
        bench.faults().await?;
        bench.send(limit * seconds).await?;
        let judged = bench.judge(limit * seconds).await?;
        let what = |text: &str| format!("{limit} messages/s: {text}");
        let share = judged.rate / *limit as f64;
        report.figure(&what("share of the limit"), share, "", Some(Goal::AtLeast(0.98)));
        let none = Some(Goal::AtMost(0.0));
        report.figure(&what("out of order"), judged.reordered as f64, "", none);
        report.figure(&what("accepted twice"), judged.twice as f64, "", none);
        let unknown = bench.house.metric("usher_outbound_unknown_total").await?;
        let lost = judged.absent as f64 - unknown;
        report.figure(&what("neither accepted nor shown as unknown"), lost.max(0.0), "", none);
        let text = format!("{unknown} of {}; {} never accepted", limit * seconds, judged.absent);
        report.text(&what("ended as unknown"), text);
        report.text(&what("faults that struck"), judged.faults);
    }
    report.end();
    Ok(())
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
        let groups = vec![Group::new("g", 0..AGENTS).at_once()];
        let shop =
            Shop { agents: AGENTS, capacity: 1_000, groups, channels: vec![Channel::to("g")] };
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
            receipts: ReceiptsOptions { auto_read: false, ..ReceiptsOptions::default() },
            ..SandboxOptions::default()
        })?;
        let node = Node { provider: Some(sandbox.base_url()), set, ..Node::default() };
        let house = House::open(&options.binary, &shop, node).await?;
        let (teller, told) = channel();
        let desks = Desk::open_all(&house, 0..AGENTS).await?;
        let desks = Desks::hear(desks, move |agent, text| {
            if let Some(heard) = heard(text) {
                // Whoever does not listen any more has all it wanted.
                teller.send(Told { agent, at: Instant::now(), heard }).ok();
            }
        });
        let mut bench = Self { house, sandbox, desks, told, held: BTreeMap::new() };
        bench.number(limit).await?;
        bench.visitors(messages.div_ceil(EACH_MOST).max(AGENTS as u64)).await?;
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
        for some in all.chunks(BATCH) {
            self.post("batch", &json!(some)).await?;
        }
        let began = Instant::now();
        while (self.held.len() as u64) < count {
            for Told { agent, heard, .. } in self.told.try_iter() {
                if let Heard::Owns { visitor, enquiry } = heard {
                    self.held.insert(visitor, (agent, enquiry));
                }
            }
            ensure!(began.elapsed() < OVER_WITHIN, "only {} visitors are served", self.held.len());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // What came in counts towards the number's limit, and has passed.
        tokio::time::sleep(Duration::from_secs(2)).await;
        progress(&format!("{count} visitors are served"));
        Ok(())
    }

    /// 1 % each of 5xx and 429, 0.1 % accepted without a word.
    async fn faults(&self) -> anyhow::Result<()> {
        let faults = json!({
            "html_502": {"probability": 0.005}, "ambiguous_5xx": {"probability": 0.005},
            "rate_429": {"probability": 0.01}, "accept_then_timeout": {"probability": 0.001},
        });
        self.post("faults", &faults).await.map(|_| ())
    }

    /// All at once; the outbox paces them. Returns when nothing waits any more.
    async fn send(&mut self, messages: u64) -> anyhow::Result<()> {
        let held: Vec<(u64, (usize, EnquiryId))> =
            self.held.iter().map(|(visitor, held)| (*visitor, *held)).collect();
        for number in 0..messages {
            let place = usize::try_from(number)? % held.len();
            let (visitor, (agent, enquiry)) = held[place];
            let key = Key::try_from(format!("k{number}")).ok().context("a key")?;
            let content = Outgoing::Text { body: format!("{visitor} {number}") };
            let command = Command::Send { enquiry, key, content, reply_to: None };
            let frame = ClientFrame::Command { id: number + 1, command }.encode();
            self.desks.writers[agent].send(Message::text(frame)).await?;
        }
        progress(&format!("{messages} messages handed over"));
        let began = Instant::now();
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let accepted = self.ledger("message").await?.len() as u64;
            let unknown = self.house.metric("usher_outbound_unknown_total").await?;
            let waiting = self.house.metric("usher_outbound_pending").await?;
            if waiting < 1.0 && accepted as f64 + unknown >= messages as f64 {
                return Ok(());
            }
            let text =
                format!("{accepted} of {messages} accepted, {unknown} unknown, {waiting} wait");
            ensure!(began.elapsed() < OVER_WITHIN, "{text}");
        }
    }

    async fn judge(&self, messages: u64) -> anyhow::Result<Judged> {
        let accepted = self.ledger("message").await?;
        let faults = self.get("faults").await?;
        let mut judged = judge(&accepted, messages)?;
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
    /// Accepted a second, without the first and the last tenth.
    rate: f64,
    reordered: u64,
    twice: u64,
    absent: u64,
    faults: String,
}

fn judge(accepted: &[Value], messages: u64) -> anyhow::Result<Judged> {
    let mut judged = Judged::default();
    let (mut seen, mut last) = (BTreeSet::new(), BTreeMap::new());
    let mut times = Vec::new();
    for entry in accepted {
        let text = entry["body"]["text"]["body"].as_str().context("not a text")?;
        let (visitor, number) = text.split_once(' ').context("not one of ours")?;
        let number: u64 = number.parse()?;
        judged.twice += u64::from(!seen.insert(number));
        let before = last.insert(visitor.to_owned(), number);
        judged.reordered += u64::from(before.is_some_and(|before| before > number));
        times.push(entry["at_ms"].as_u64().context("no time")?);
    }
    judged.absent = messages.saturating_sub(seen.len() as u64);
    times.sort_unstable();
    let tenth = times.len() / 10;
    // The last wait for word of what is in doubt.
    let steady = &times[tenth..times.len() - 2 * tenth];
    if let (Some(first), Some(last)) = (steady.first(), steady.last()) {
        judged.rate = (steady.len() - 1) as f64 * 1e3 / (last - first).max(1) as f64;
    }
    Ok(judged)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(at_ms: u64, text: &str) -> Value {
        json!({"at_ms": at_ms, "body": {"text": {"body": text}}})
    }

    #[test]
    fn the_ledger_shows_what_was_told_twice_out_of_order_or_not_at_all() {
        let told = [
            entry(0, "1 0"),
            entry(100, "2 1"),
            entry(200, "1 3"),
            entry(300, "1 2"),
            entry(400, "2 1"),
        ];
        let judged = judge(&told, 6).unwrap();
        assert_eq!((judged.reordered, judged.twice, judged.absent), (1, 1, 2));
        assert!((judged.rate - 10.0).abs() < 1e-9, "{judged:?}");
        let right = [entry(0, "1 0"), entry(1, "2 1"), entry(2, "1 2")];
        let judged = judge(&right, 3).unwrap();
        assert_eq!((judged.reordered, judged.twice, judged.absent), (0, 0, 0));
    }
}
