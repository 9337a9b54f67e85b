//! Whether percentages came out exact: every draw of the day as the decisions' traces tell it.

use std::collections::BTreeMap;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use reqwest::Client;
use serde_json::Value;

/// Enquiries looked at; a longer day shows its newest ones not.
const ENQUIRIES_MAX: usize = 50_000;
const AT_ONCE: usize = 8;

/// One draw: the how-manieth, and what it gave.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Draw {
    number: u64,
    bucket: String,
    percent: u64,
}

/// How one bucket did.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Share {
    pub(super) bucket: String,
    pub(super) percent: u64,
    pub(super) count: u64,
    pub(super) exact: f64,
    /// Furthest from exact after any number of draws.
    pub(super) worst: f64,
}

/// Each bucket against its share, after all draws and at the worst moment before.
pub(super) fn shares(draws: &[Draw]) -> Vec<Share> {
    let mut sorted = draws.to_vec();
    sorted.sort();
    let mut shares: BTreeMap<&str, Share> = BTreeMap::new();
    for draw in &sorted {
        let bucket = draw.bucket.clone();
        let new = Share { bucket, percent: draw.percent, count: 0, exact: 0.0, worst: 0.0 };
        shares.entry(&draw.bucket).or_insert(new);
    }
    for (drawn, draw) in (1_u32..).zip(&sorted) {
        for (bucket, share) in &mut shares {
            share.count += u64::from(*bucket == draw.bucket);
            share.exact = f64::from(drawn) * share.percent as f64 / 100.0;
            share.worst = share.worst.max((share.count as f64 - share.exact).abs());
        }
    }
    let mut shares: Vec<Share> = shares.into_values().collect();
    shares.sort_by_key(|share| std::cmp::Reverse(share.percent));
    shares
}

/// Asks for every enquiry of a channel, and for its traces.
pub(super) async fn ask(
    http: &Client,
    url: &str,
    token: &str,
    channel: &str,
) -> anyhow::Result<Vec<Draw>> {
    let mut enquiries = Vec::new();
    let mut cursor = String::new();
    while enquiries.len() < ENQUIRIES_MAX {
        let path = format!("{url}/v1/enquiries?channel={channel}&limit=100{cursor}");
        let page = get(http, &path, token).await?;
        let listed = page["enquiries"].as_array().context("no list of enquiries")?;
        enquiries.extend(listed.iter().filter_map(|it| it["id"].as_str().map(str::to_owned)));
        let Some(next) = page["next"].as_u64() else { break };
        cursor = format!("&cursor={next}");
    }
    let paths = enquiries.into_iter().map(|id| format!("{url}/v1/enquiries/{id}?limit=1"));
    let asked = paths.map(|path| async move { get(http, &path, token).await.map(|it| drawn(&it)) });
    let answers: Vec<_> =
        futures_util::stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
    let draws: Vec<Vec<Draw>> = answers.into_iter().collect::<Result<_, _>>()?;
    Ok(draws.concat())
}

async fn get(http: &Client, path: &str, token: &str) -> anyhow::Result<Value> {
    Ok(http.get(path).bearer_auth(token).send().await?.error_for_status()?.json().await?)
}

/// What one enquiry drew; a second walk keeps what it had.
fn drawn(enquiry: &Value) -> Vec<Draw> {
    let decisions = enquiry["decisions"].as_array().into_iter().flatten();
    let steps = decisions.filter_map(|decision| decision["steps"].as_array()).flatten();
    steps
        .filter(|step| step["step"] == "percentage" && step["kept"] == false)
        .filter_map(|step| {
            Some(Draw {
                number: step["draw"].as_u64()?,
                bucket: step["bucket"].as_str()?.to_owned(),
                percent: step["percent"].as_u64()?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn draw(number: u64, bucket: &str) -> Draw {
        Draw { number, bucket: bucket.to_owned(), percent: 50 }
    }

    #[test]
    fn the_worst_moment_counts_and_not_only_the_end() {
        let draws = [draw(1, "a"), draw(2, "b"), draw(3, "a"), draw(4, "b")];
        let worst = |draws: &[Draw]| shares(draws)[0].worst;
        assert!((worst(&draws) - 0.5).abs() < 1e-9);
        // The same counts, in a worse order; told in any order.
        let uneven = [draw(4, "b"), draw(3, "b"), draw(1, "a"), draw(2, "a")];
        assert!((worst(&uneven) - 1.0).abs() < 1e-9);
        let share = &shares(&uneven)[0];
        assert!(share.count == 2 && (share.exact - 2.0).abs() < 1e-9);
    }

    #[test]
    fn a_second_walk_does_not_draw() {
        let step = |kept| json!({"step": "percentage", "bucket": "a", "percent": 55, "draw": 7, "kept": kept});
        let enquiry = json!({"decisions": [
            {"steps": [{"step": "arrived"}, step(false)]}, {"steps": [step(true)]}]});
        let only = Draw { number: 7, bucket: "a".to_owned(), percent: 55 };
        assert_eq!(drawn(&enquiry), [only]);
    }
}
