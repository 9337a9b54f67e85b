//! A visitor with a pretend phone: writes, waits, answers, and leaves.

use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::clock::Clock;
use super::tally::Fact;

/// Seconds of the day that somebody waits for an answer before giving up.
const PATIENCE: (f64, f64) = (600.0, 2400.0);
/// Between reading an answer and sending the next message.
const THINKING: (f64, f64) = (15.0, 75.0);
/// Messages of one visitor.
const MESSAGES: (u32, u32) = (3, 12);
/// Who goes away in the middle of it without a word.
const FALLS_SILENT: f64 = 0.08;

/// Facts with when they were seen.
pub(super) type Facts = mpsc::Sender<(Instant, Fact)>;

/// What all visitors share.
#[derive(Clone, Debug)]
pub(super) struct Outside {
    pub(super) http: Client,
    pub(super) sandbox: String,
    pub(super) clock: Clock,
    pub(super) facts: Facts,
    pub(super) seed: u64,
    /// Set apart from the phones of earlier days.
    pub(super) first_phone: u64,
}

/// What a visitor writes: who, and the how-manieth.
pub(super) fn text(visitor: u32, message: u32, is_last: bool) -> String {
    let words = if is_last { "thank you, bye" } else { "and then?" };
    format!("v{visitor}.{message} {words}")
}

/// What an agent answers.
pub(super) fn reply(visitor: u32, message: u32) -> String {
    format!("r{visitor}.{message} of course")
}

/// Which message of whom is answered. Above an answer may stand the name of who answers.
fn answer(text: &str) -> Option<(u32, u32)> {
    label(text.lines().last()?, 'r')
}

/// Who, and the how-manieth; `mark` is the letter in front.
pub(super) fn label(text: &str, mark: char) -> Option<(u32, u32)> {
    let (visitor, rest) = text.strip_prefix(mark)?.split_once('.')?;
    let message = rest.split(' ').next()?;
    Some((visitor.parse().ok()?, message.parse().ok()?))
}

struct Visitor<'a> {
    number: u32,
    channel: &'a str,
    outside: &'a Outside,
    rng: SmallRng,
    cursor: u64,
    /// Replies seen so far; an entry comes again whenever its receipts move.
    seen: std::collections::BTreeSet<String>,
}

/// One visit, from when it is due.
pub(super) async fn visit(outside: Outside, number: u32, channel: String, due: Instant) {
    let late = due.elapsed();
    let mut visitor = Visitor {
        number,
        channel: &channel,
        outside: &outside,
        rng: SmallRng::seed_from_u64(outside.seed ^ u64::from(number) << 20),
        cursor: 0,
        seen: std::collections::BTreeSet::new(),
    };
    visitor.tell(Fact::Arrived { late }).await;
    let patient = visitor.talk().await;
    visitor.tell(Fact::Left { visitor: number, patient }).await;
}

impl Visitor<'_> {
    /// Whether all that was asked was answered.
    async fn talk(&mut self) -> bool {
        let messages = self.rng.random_range(MESSAGES.0..=MESSAGES.1);
        for message in 1..=messages {
            let is_last = message == messages;
            if !self.write(message, is_last).await {
                return false;
            }
            if is_last || self.rng.random_bool(FALLS_SILENT / f64::from(messages)) {
                break;
            }
            let patience = self.between(PATIENCE);
            if !self.is_answered(patience).await {
                return false;
            }
            let thinking = self.between(THINKING);
            sleep(thinking).await;
        }
        true
    }

    fn between(&mut self, seconds: (f64, f64)) -> Duration {
        self.outside.clock.real(self.rng.random_range(seconds.0..seconds.1))
    }

    async fn tell(&self, fact: Fact) {
        // Whoever adds up lives longer than those who tell.
        self.outside.facts.send((Instant::now(), fact)).await.ok();
    }

    fn address(&self, path: &str) -> String {
        let Outside { sandbox, first_phone, .. } = self.outside;
        format!("{sandbox}/sandbox/api/phones/{}/{path}", first_phone + u64::from(self.number))
    }

    async fn write(&self, message: u32, is_last: bool) -> bool {
        let text = text(self.number, message, is_last);
        let name = format!("Visitor {}", self.number);
        let body = json!({ "number": self.channel, "text": text, "name": name });
        self.tell(Fact::Wrote { visitor: self.number, message }).await;
        let sent = self.outside.http.post(self.address("messages")).json(&body).send().await;
        let is_sent = sent.is_ok_and(|answer| answer.status().is_success());
        if !is_sent {
            self.tell(Fact::NotSent).await;
        }
        is_sent
    }

    /// Waits until a person answers.
    async fn is_answered(&mut self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let wait = left.as_millis().min(5000);
            let query =
                format!("thread?number={}&after={}&wait_ms={wait}", self.channel, self.cursor);
            let Some(thread) = self.look(&query).await else {
                sleep(Duration::from_millis(100)).await;
                continue;
            };
            if self.read(&thread).await {
                return true;
            }
        }
    }

    async fn look(&self, query: &str) -> Option<Value> {
        self.outside.http.get(self.address(query)).send().await.ok()?.json().await.ok()
    }

    async fn read(&mut self, thread: &Value) -> bool {
        self.cursor = thread["cursor"].as_u64().unwrap_or(self.cursor);
        let mut answered = false;
        for entry in thread["entries"].as_array().into_iter().flatten() {
            let id = entry["id"].as_str().unwrap_or_default();
            let shown = entry["from"] == "business" && entry["shown"] == true;
            if !shown || !self.seen.insert(id.to_owned()) {
                continue;
            }
            let text = entry["body"]["text"]["body"].as_str().unwrap_or_default();
            match answer(text) {
                Some((visitor, message)) if visitor == self.number => {
                    self.tell(Fact::Answered { visitor, message }).await;
                    answered = true;
                }
                _ => self.tell(Fact::Auto).await,
            }
        }
        answered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_survive_the_way() {
        assert_eq!(label(&text(17, 3, false), 'v'), Some((17, 3)));
        assert_eq!(answer(&reply(17, 4)), Some((17, 4)));
        assert_eq!(answer(&format!("*Anna*\n{}", reply(17, 4))), Some((17, 4)));
        assert_eq!(label("Hello, this is the Corner Shop!", 'v'), None);
        assert!(text(1, 9, true).ends_with("bye"));
    }
}
