//! How percentages came out, beside what exact ones would have been.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use usher_domain::ids::ChannelId;
use usher_domain::settings::Settings;
use usher_domain::trace::Step;

/// The channel, and the branches that lead to it.
type Layer = (ChannelId, Vec<String>);

#[derive(Debug, Default)]
pub(super) struct Shares {
    layers: BTreeMap<Layer, BTreeMap<String, Bucket>>,
}

#[derive(Debug, Default)]
struct Bucket {
    /// As it was at the last draw.
    percent: u8,
    drawn: u64,
    /// Drawn here and given to another bucket.
    overflowed: u64,
}

impl Shares {
    /// What one decision drew; a share kept from an earlier walk is not drawn again.
    pub(super) fn take(&mut self, channel: ChannelId, steps: &[Step]) {
        let mut path: Vec<String> = Vec::new();
        let mut layer = None;
        for step in steps {
            match step {
                Step::Time { matched, .. } => path.push(matched.clone()),
                Step::Percentage { bucket, percent, kept, .. } => {
                    let here = (channel, path.clone());
                    if !kept {
                        let buckets = self.layers.entry(here.clone()).or_default();
                        let drawn = buckets.entry(bucket.clone()).or_default();
                        drawn.percent = *percent;
                        drawn.drawn += 1;
                        layer = Some(here);
                    }
                    path.push(bucket.clone());
                }
                Step::Overflowed { from, to } => {
                    let buckets = layer.as_ref().and_then(|layer| self.layers.get_mut(layer));
                    if let Some(bucket) = buckets.and_then(|buckets| buckets.get_mut(from)) {
                        bucket.overflowed += 1;
                    }
                    path.pop();
                    path.push(to.clone());
                }
                Step::Blocked
                | Step::Binding { .. }
                | Step::Emergency { .. }
                | Step::Leaf { .. }
                | Step::Arrived { .. }
                | Step::PassedOver { .. }
                | Step::Considered { .. }
                | Step::Waiting { .. }
                | Step::Missed => {}
            }
        }
    }

    pub(super) fn shown(&self, settings: &Settings) -> Value {
        let layers = self.layers.iter().map(|((channel, path), buckets)| {
            let name = settings.channels.get(channel).map(|channel| channel.name.as_str());
            let draws: u64 = buckets.values().map(|bucket| bucket.drawn).sum();
            json!({
                "channel": { "id": channel, "name": name.unwrap_or_default() },
                "layer": path,
                "draws": draws,
                "buckets": buckets.iter().map(|(name, bucket)| bucket.shown(name, draws))
                    .collect::<Value>(),
            })
        });
        layers.collect()
    }
}

impl Bucket {
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 draws")]
    fn shown(&self, name: &str, draws: u64) -> Value {
        json!({
            "name": name,
            "percent": self.percent,
            "drawn": self.drawn,
            "exact": draws as f64 * f64::from(self.percent) / 100.0,
            "overflowed": self.overflowed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drew(bucket: &str, percent: u8, kept: bool) -> Step {
        Step::Percentage { bucket: bucket.to_owned(), percent, draw: 1, kept }
    }

    #[test]
    fn each_layer_is_counted_by_itself_and_what_is_kept_is_not() {
        let channel = ChannelId::from_number(1);
        let mut shares = Shares::default();
        let day = Step::Time { zone: "UTC".into(), local: String::new(), matched: "Day".into() };
        let over = Step::Overflowed { from: "north".into(), to: "south".into() };
        shares.take(channel, &[day.clone(), drew("north", 70, false), over]);
        shares.take(channel, &[day.clone(), drew("north", 70, false)]);
        shares.take(channel, &[day.clone(), drew("south", 30, false), drew("a", 50, false)]);
        shares.take(channel, &[day, drew("north", 70, true)]);
        let keys: Vec<_> = shares.layers.keys().map(|(_, path)| path.join("/")).collect();
        assert_eq!(keys, ["Day", "Day/south"]);
        let outer = &shares.layers[&(channel, vec!["Day".to_owned()])];
        let counted = |name: &str| (outer[name].drawn, outer[name].overflowed);
        assert_eq!((counted("north"), counted("south")), ((2, 1), (1, 0)));
        let shown = outer["north"].shown("north", 3);
        assert!((shown["exact"].as_f64().unwrap() - 2.1).abs() < 1e-9, "{shown}");
    }
}
