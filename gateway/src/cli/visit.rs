//! `usher visit`: writes as a pretend visitor through the local 360dialog, and shows the answers.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::Client;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::terminal::{base, call, client, is_interactive, lines, say};

/// How long the sandbox may hold an answer back until there is something new.
const WAIT_MILLIS: u64 = 20_000;

/// Write to the business as a visitor with a pretend phone.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The visitor's phone number.
    #[arg(long = "as", value_name = "PHONE", default_value = "+4915112345678")]
    phone: String,
    /// The visitor's profile name.
    #[arg(long)]
    name: Option<String>,
    /// Which number of the business, by phone number id; not needed while there is one. The first
    /// one if there are several.
    #[arg(long, value_name = "PHONE_NUMBER_ID")]
    number: Option<String>,
    /// Where the sandbox is.
    #[arg(long, default_value = "http://127.0.0.1:8481")]
    sandbox: String,
    /// After the texts, show for so many seconds what comes, then leave.
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "30"
    )]
    wait: Option<u64>,
    /// What to write; without it, what is typed.
    texts: Vec<String>,
}

/// One conversation, seen from the visitor's phone.
struct Phone {
    http: Client,
    api: String,
    wa_id: String,
    name: Option<String>,
    number: String,
    cursor: u64,
    /// What each message was last shown as.
    shown: BTreeMap<String, String>,
    is_typing: bool,
}

#[derive(Deserialize)]
struct Thread {
    cursor: u64,
    entries: Vec<Entry>,
    #[serde(default)]
    typing: bool,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
    from: String,
    #[serde(rename = "type")]
    kind: String,
    body: Value,
    shown: bool,
    #[serde(default)]
    status: String,
    #[serde(default)]
    read_by_business: bool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let mut phone = Phone::pick_up(&args).await?;
    // What was there before is not shown again.
    phone.look(0).await?;
    for text in &args.texts {
        phone.write(text).await?;
    }
    let stays = args.texts.is_empty() || is_interactive();
    match args.wait {
        Some(seconds) => phone.wait(Duration::from_secs(seconds)).await,
        None if stays => phone.converse().await,
        None => Ok(()),
    }
}

impl Phone {
    async fn pick_up(args: &Args) -> anyhow::Result<Self> {
        let wa_id: String = args.phone.chars().filter(char::is_ascii_digit).collect();
        if wa_id.len() < 7 {
            bail!("{} is no phone number", args.phone);
        }
        let http = client()?;
        let api = format!("{}/sandbox/api", base(&args.sandbox));
        let numbers = call(http.get(format!("{api}/numbers"))).await;
        let numbers = numbers.with_context(|| format!("no sandbox at {}", args.sandbox))?;
        let first = numbers.get(0).and_then(|number| number.get("phone_number_id")?.as_str());
        let number = match (&args.number, first) {
            (Some(number), _) => number.clone(),
            (None, Some(first)) => first.to_owned(),
            (None, None) => bail!("the sandbox has no number"),
        };
        let name = args.name.clone();
        let shown = BTreeMap::new();
        Ok(Self { http, api, wa_id, name, number, cursor: 0, shown, is_typing: false })
    }

    async fn write(&mut self, text: &str) -> anyhow::Result<()> {
        let mut message = json!({ "type": "text", "text": text, "number": self.number });
        if let Some(name) = &self.name {
            message["name"] = json!(name);
        }
        let to = format!("{}/phones/{}/messages", self.api, self.wa_id);
        let written = call(self.http.post(to).json(&message)).await?;
        if let Some(id) = written.get("id").and_then(Value::as_str) {
            self.shown.insert(id.to_owned(), String::new());
        }
        say(format!("you: {text}"))
    }

    async fn thread(&self, wait_millis: u64) -> anyhow::Result<Thread> {
        let address = format!(
            "{}/phones/{}/thread?number={}&after={}&wait_ms={wait_millis}",
            self.api, self.wa_id, self.number, self.cursor
        );
        let thread = call(self.http.get(address)).await?;
        serde_json::from_value(thread).context("the sandbox speaks of something else")
    }

    /// What is new, in lines; nothing of it is shown yet.
    async fn look(&mut self, wait_millis: u64) -> anyhow::Result<Vec<String>> {
        let thread = self.thread(wait_millis).await?;
        Ok(self.news(&thread))
    }

    fn news(&mut self, thread: &Thread) -> Vec<String> {
        self.cursor = thread.cursor;
        let mut lines: Vec<String> =
            thread.entries.iter().filter_map(|entry| self.line(entry)).collect();
        if thread.typing && !self.is_typing {
            lines.push("(writing …)".to_owned());
        }
        self.is_typing = thread.typing;
        lines
    }

    fn line(&mut self, entry: &Entry) -> Option<String> {
        let line = if entry.from == "phone" {
            // One's own words are on the screen; only that they were read is news.
            if !entry.read_by_business {
                return None;
            }
            format!("     ✓✓ read: {}", body(entry))
        } else if entry.shown && entry.status != "failed" {
            format!("business: {}", body(entry))
        } else {
            return None;
        };
        let old = self.shown.insert(entry.id.clone(), line.clone());
        (old.as_ref() != Some(&line)).then_some(line)
    }

    /// Until the time is over.
    async fn wait(&mut self, longest: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + longest;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            let left = u64::try_from(left.as_millis()).unwrap_or(WAIT_MILLIS);
            for line in self.look(left.clamp(1, WAIT_MILLIS)).await? {
                say(line)?;
            }
        }
        Ok(())
    }

    /// Until the person leaves.
    async fn converse(&mut self) -> anyhow::Result<()> {
        let mut typed = lines();
        loop {
            let turn = tokio::select! {
                thread = self.thread(WAIT_MILLIS) => Turn::News(thread?),
                line = typed.recv() => Turn::Typed(line),
            };
            match turn {
                Turn::News(thread) => {
                    for line in self.news(&thread) {
                        say(line)?;
                    }
                }
                Turn::Typed(Some(line)) => match line.trim() {
                    "" => {}
                    "/quit" => return Ok(()),
                    text => self.write(text).await?,
                },
                Turn::Typed(None) => return Ok(()),
            }
        }
    }
}

enum Turn {
    News(Thread),
    /// `None`: there is no more.
    Typed(Option<String>),
}

/// What the phone shows of a message.
fn body(entry: &Entry) -> String {
    let text =
        |value: &Value, pointer| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let said = match entry.kind.as_str() {
        "text" => text(&entry.body, "/text/body"),
        "template" => text(&entry.body, "/template/name").map(|name| format!("(template {name})")),
        kind => {
            let caption = text(&entry.body, &format!("/{kind}/caption")).unwrap_or_default();
            Some(format!("({kind}) {caption}"))
        }
    };
    said.unwrap_or_else(|| entry.body.to_string())
}
