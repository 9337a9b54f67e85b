//! `usher explain`: why an enquiry goes where it goes, asked of a running Usher, readable for people.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use reqwest::Client;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use usher_domain::presence::Presence;
use usher_domain::rule::{Destination, Stop};
use usher_domain::trace::{BindingKind, PassedOver, Step, Verdict};
use usher_protocol::Time;

use super::terminal::{base, call, client, say, sign_in};

/// Ask what would happen to a message; nothing is changed.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Where Usher is.
    #[arg(long, default_value = "http://127.0.0.1:8480")]
    url: String,
    /// A supervisor or an administrator.
    #[arg(long, default_value = "ada@demo.example")]
    email: String,
    #[arg(long, default_value = "usher-demo")]
    password: String,
    /// The channel written to: its id or its name.
    #[arg(long)]
    channel: String,
    /// The visitor's id; without it, somebody nobody knows.
    #[arg(long)]
    visitor: Option<String>,
    /// At this time, as 2026-12-24T18:00:00Z; without it, now.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// As if everybody were Active and free.
    #[arg(long)]
    everyone: bool,
}

#[derive(Deserialize)]
struct Explained {
    at: Time,
    steps: Vec<Step>,
    stage: Value,
    /// What the ids are called.
    #[serde(default)]
    names: BTreeMap<String, String>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let (http, url) = (client()?, base(&args.url));
    let token = sign_in(&http, &url, &args.email, &args.password).await?;
    let mut question = Map::new();
    question.insert("channel".into(), json!(channel(&http, &url, &token, &args.channel).await?));
    question.insert("presence".into(), json!(if args.everyone { "everyone" } else { "now" }));
    if let Some(visitor) = &args.visitor {
        question.insert("visitor".into(), json!(visitor));
    }
    if let Some(at) = &args.at {
        question.insert("at".into(), json!(at));
    }
    let asked = http.post(format!("{url}/v1/routing/explain")).bearer_auth(&token);
    let answer = call(asked.json(&question)).await?;
    let answer = serde_json::from_value(answer).context("the answer speaks of something else")?;
    for line in lines(&answer) {
        say(line)?;
    }
    Ok(())
}

/// The id of a channel that is named by its id or its name.
async fn channel(http: &Client, url: &str, token: &str, wanted: &str) -> anyhow::Result<String> {
    let listed = call(http.get(format!("{url}/v1/channels")).bearer_auth(token)).await?;
    let channels = listed.get("channels").and_then(Value::as_array).cloned().unwrap_or_default();
    let text =
        |channel: &Value, field| channel.get(field).and_then(Value::as_str).map(str::to_owned);
    let fits = |channel: &&Value| {
        let named = text(channel, "name").is_some_and(|name| name.eq_ignore_ascii_case(wanted));
        named || text(channel, "id").as_deref() == Some(wanted)
    };
    let names: Vec<String> = channels.iter().filter_map(|channel| text(channel, "name")).collect();
    let found = channels.iter().find(fits).and_then(|channel| text(channel, "id"));
    found.with_context(|| format!("there is no channel {wanted}; there are {}", names.join(", ")))
}

fn lines(explained: &Explained) -> Vec<String> {
    let names = &explained.names;
    let at = json!(explained.at);
    let mut lines = vec![format!("At {}:", at.as_str().unwrap_or_default())];
    let steps = explained.steps.iter().enumerate();
    lines.extend(steps.map(|(index, step)| format!("{:>3}. {}", index + 1, line(step, names))));
    let state = explained.stage.get("state").and_then(Value::as_str).unwrap_or("unknown");
    lines.push(format!("  => {state}"));
    lines
}

type Names = BTreeMap<String, String>;

fn name(id: &dyn ToString, names: &Names) -> String {
    let id = id.to_string();
    names.get(&id).cloned().unwrap_or(id)
}

fn line(step: &Step, names: &Names) -> String {
    match step {
        Step::Blocked => "the visitor is on the blocklist".to_owned(),
        Step::Binding { binding, staff, verdict: judged } => {
            let kind = match binding {
                BindingKind::Engagement => "wrote to the visitor first",
                BindingKind::Sticky => "served the visitor before",
                BindingKind::Transfer => "is whom it is handed to",
                BindingKind::LastOwner => "had the enquiry the message belongs to",
            };
            format!("{} {kind}: {}", name(&staff, names), verdict(*judged))
        }
        Step::Emergency { until } => {
            let until = json!(Time(*until));
            format!("the emergency branch is on until {}", until.as_str().unwrap_or_default())
        }
        Step::Time { zone, local, matched } => {
            format!("it is {local} in {zone}: \"{matched}\" applies")
        }
        Step::Percentage { bucket, percent, draw, kept } => {
            let how = if *kept { "kept from before".to_owned() } else { format!("draw {draw}") };
            format!("share \"{bucket}\" of {percent} % ({how})")
        }
        Step::Overflowed { from, to } => format!("\"{from}\" cannot take it: on to \"{to}\""),
        Step::Leaf { stops, priority } => {
            let stops: Vec<String> = stops.iter().map(|stop| stop_line(stop, names)).collect();
            format!("goes to {} (priority {priority})", stops.join(", then "))
        }
        Step::Arrived { at } => format!("arrives at {}", destination(*at, names)),
        Step::PassedOver { at, why } => {
            format!("{} is passed over: {}", destination(*at, names), passed_over(*why))
        }
        Step::Considered { staff, verdict: judged } => {
            format!("  {}: {}", name(&staff, names), verdict(*judged))
        }
        Step::Waiting { at, position } => {
            format!("waits at {}, number {position} in line", destination(*at, names))
        }
        Step::Missed => "nobody takes it: missed".to_owned(),
    }
}

fn stop_line(stop: &Stop, names: &Names) -> String {
    let to = destination(stop.to, names);
    let seconds = stop.pick_up.as_ref().map(Duration::as_secs);
    seconds.map_or_else(|| to.clone(), |seconds| format!("{to} for {seconds} s"))
}

fn destination(destination: Destination, names: &Names) -> String {
    match destination {
        Destination::Group(group) => format!("group {}", name(&group, names)),
        Destination::Queue(queue) => format!("queue {}", name(&queue, names)),
        Destination::Bot(bot) => format!("bot {}", name(&bot, names)),
    }
}

const fn passed_over(why: PassedOver) -> &'static str {
    match why {
        PassedOver::NobodyActive => "nobody is Active",
        PassedOver::NobodyAccepts => "nobody can take it now",
        PassedOver::EverybodyAsked => "everybody was asked",
        PassedOver::TimeOver => "its time is over",
        PassedOver::QueueFull => "the queue is full",
        PassedOver::WaitedTooLong => "it waited too long",
        PassedOver::BotFailed => "the bot failed",
        PassedOver::BotHandedOver => "the bot handed over",
        PassedOver::Gone => "it is no longer there",
    }
}

fn verdict(verdict: Verdict) -> String {
    match verdict {
        Verdict::Offered => "is offered it".to_owned(),
        Verdict::Assigned => "gets it".to_owned(),
        Verdict::NotEnabled => "is suspended".to_owned(),
        Verdict::NotActive { presence } => match presence {
            Presence::Active => "is not free".to_owned(),
            Presence::Busy => "is Busy".to_owned(),
            Presence::Idle => "is Idle".to_owned(),
            Presence::Offline => "is Offline".to_owned(),
        },
        Verdict::Full { load, capacity } => format!("holds {load} of {capacity}"),
        Verdict::EnoughOffers { offers } => format!("has {offers} offers already"),
        Verdict::WrappingUp => "is wrapping up".to_owned(),
        Verdict::OtherLanguageOrCountry => "is for other languages or countries".to_owned(),
        Verdict::DeclinedJustNow => "declined a moment ago".to_owned(),
        Verdict::AlreadyAsked => "was asked before".to_owned(),
        Verdict::NotAMember => "is not a member any more".to_owned(),
        Verdict::Expired => "too long ago".to_owned(),
        Verdict::Skipped => "is passed over on purpose".to_owned(),
        Verdict::WaitedFor => "is waited for".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_reads_as_sentences_with_names() {
        let answer = json!({
            "at": "2026-11-23T09:30:00.000Z",
            "stage": {"state": "open"},
            "names": {
                "grp_00000000000000000000000000000001": "Support",
                "stf_00000000000000000000000000000002": "Anna Arnold",
            },
            "steps": [
                {"step": "time", "zone": "Europe/Berlin", "local": "Mon 10:30", "matched": "Shop hours"},
                {"step": "leaf", "priority": 5, "stops": [
                    {"to": {"group": "grp_00000000000000000000000000000001"}, "pick_up": {"secs": 45, "nanos": 0}},
                    {"to": {"queue": "que_00000000000000000000000000000003"}},
                ]},
                {"step": "considered", "staff": "stf_00000000000000000000000000000002",
                 "verdict": {"verdict": "full", "load": 5, "capacity": 5}},
                {"step": "missed"},
            ],
        });
        let explained = serde_json::from_value(answer).unwrap();
        assert_eq!(
            lines(&explained),
            [
                "At 2026-11-23T09:30:00.000Z:",
                "  1. it is Mon 10:30 in Europe/Berlin: \"Shop hours\" applies",
                "  2. goes to group Support for 45 s, then queue que_00000000000000000000000000000003 (priority 5)",
                "  3.   Anna Arnold: holds 5 of 5",
                "  4. nobody takes it: missed",
                "  => open",
            ]
        );
    }
}
