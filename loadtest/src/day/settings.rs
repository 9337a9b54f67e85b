//! The business of the day: three channels with the three kinds of rule, five groups, and settings
//! that run as fast as the day does.

use std::fmt::Write as _;

use jiff::ToSpan as _;
use jiff::tz::TimeZone;
use usher_domain::ids::{ChannelId, GroupId};

pub(super) const PASSWORD: &str = "a long day";
/// Sees everything, and serves nobody.
pub(super) const ADMINISTRATOR: &str = "ada@day.example";
pub(super) const WEBHOOK_SECRET: &str = "only-the-provider-knows";
/// Live enquiries of one agent.
const CAPACITY: u32 = 3;
/// Shares of the sales channel, in whole percents; the last is what is left.
const SHARES: [(&str, u32); 3] = [("sales", 55), ("advice", 30), ("office", 15)];
/// Which part of the visitors goes to which channel.
pub(super) const CHANNELS: [(&str, f64); 3] = [("shop", 0.4), ("sales", 0.35), ("service", 0.25)];
/// Groups, their part of the staff, and how they hand out.
const GROUPS: [(&str, f64, &str); 5] = [
    ("shop", 0.38, "simultaneous"),
    ("sales", 0.2, "least_loaded"),
    ("advice", 0.12, "round_robin"),
    ("office", 0.07, "most_idle"),
    ("service", 0.23, "least_loaded"),
];

#[derive(Clone, Debug)]
pub(super) struct Business {
    pub(super) agents: usize,
    pub(super) speed: f64,
    /// Real minutes until the service channel changes hands.
    pub(super) half: i64,
}

pub(super) fn group(name: &str) -> GroupId {
    GroupId::from_number(1000 + position(GROUPS.iter().map(|group| group.0), name))
}

pub(super) fn channel(name: &str) -> ChannelId {
    ChannelId::from_number(2000 + position(CHANNELS.iter().map(|channel| channel.0), name))
}

fn position<'a>(mut names: impl Iterator<Item = &'a str>, name: &str) -> u128 {
    names.position(|known| known == name).unwrap_or_default() as u128
}

pub(super) fn phone_number_id(channel: usize) -> String {
    format!("90010020040{channel}")
}

pub(super) fn api_key(channel: usize) -> String {
    format!("key-of-channel-{channel}")
}

pub(super) fn email(agent: usize) -> String {
    format!("agent-{agent:04}@day.example")
}

/// The groups of the day.
pub(super) fn groups() -> impl Iterator<Item = &'static str> {
    GROUPS.iter().map(|group| group.0)
}

impl Business {
    /// So many of the day's seconds as a setting, not below what the program takes.
    fn seconds(&self, day: f64, least: f64) -> String {
        format!("{:.0}ms", (day / self.speed).max(least) * 1000.0)
    }

    /// Settings that cannot run as fast as the day, and how long they are in it.
    pub(super) fn too_slow(&self) -> Vec<(&'static str, f64)> {
        let settings = [
            ("pick-up time", 60.0, 5.0),
            ("one agent's share of it", 20.0, 5.0),
            ("longest wait in the queue", 600.0, 60.0),
        ];
        settings
            .into_iter()
            .filter(|(_, day, least)| day / self.speed < *least)
            .map(|(name, _, least)| (name, least * self.speed))
            .collect()
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).expect("text takes everything");
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        write!(
            text,
            "[[service]]\nkey = \"day\"\nname = \"The day\"\ndemo = true\npresence_grace = \"{}\"\n\
             owner_gone = \"{}\"\nservice_level = \"{}\"\n",
            self.seconds(20.0, 1.0),
            self.seconds(300.0, 5.0),
            self.seconds(60.0, 1.0),
        )?;
        writeln!(
            text,
            "[service.staff.ada]\nfirst_name = \"Ada\"\nemail = \"{ADMINISTRATOR}\"\n\
             role = \"administrator\"\ndemo_password = \"{PASSWORD}\""
        )?;
        for agent in 0..self.agents {
            let email = email(agent);
            writeln!(
                text,
                "[service.staff.agent-{agent:04}]\nfirst_name = \"Agent {agent}\"\nemail = \"{email}\"\n\
                 capacity = {CAPACITY}\ndemo_password = \"{PASSWORD}\""
            )?;
        }
        self.write_groups(text)?;
        self.write_rules(text)?;
        for place in 0..CHANNELS.len() {
            self.write_channel(text, place)?;
        }
        Ok(())
    }

    fn write_groups(&self, text: &mut String) -> std::fmt::Result {
        let mut first = 0.0;
        for (name, share, method) in GROUPS {
            let next = first + share;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a few hundred"
            )]
            let place = |part: f64| (part * self.agents as f64).round() as usize;
            let mut members: Vec<String> =
                (place(first)..place(next)).map(|agent| format!("agent-{agent:04}")).collect();
            // In the smallest house one does everything.
            if members.is_empty() {
                members.push("agent-0000".to_owned());
            }
            first = next;
            let (id, pick_up, share) =
                (group(name), self.seconds(60.0, 5.0), self.seconds(20.0, 5.0));
            writeln!(
                text,
                "[service.groups.{name}]\nid = \"{id}\"\nmembers = {members:?}\nmethod = \"{method}\"\n\
                 pick_up = \"{pick_up}\"\nshare = \"{share}\""
            )?;
        }
        let wait = self.seconds(600.0, 60.0);
        writeln!(
            text,
            "[service.queues.overflow]\ngroup = \"shop\"\nlength_max = 500\nwait_max = \"{wait}\""
        )
    }

    fn write_rules(&self, text: &mut String) -> std::fmt::Result {
        let [(sales, sales_share), (advice, advice_share), (office, _)] = SHARES;
        let now = jiff::Zoned::now().with_time_zone(TimeZone::UTC);
        let clock = |minutes: i64| {
            let then = now.saturating_add(minutes.minutes());
            format!("{:02}:{:02}", then.hour(), then.minute())
        };
        let (from, to) = (clock(-1), clock(self.half.max(1)));
        writeln!(
            text,
            "[service.rules.shop]\nalternative = [\"group:shop\", \"queue:overflow\"]\n\
             [service.rules.sales]\npercentage = [\n\
             {{ name = \"{sales}\", percent = {sales_share}, to = [\"group:{sales}\", \"queue:overflow\"] }},\n\
             {{ name = \"{advice}\", percent = {advice_share}, to = [\"group:{advice}\", \"queue:overflow\"] }},\n]\n\
             otherwise = [\"group:{office}\", \"queue:overflow\"]\n\
             [service.rules.service]\nzone = \"UTC\"\n\
             [[service.rules.service.time]]\nname = \"Morning\"\ndays = \"daily\"\nhours = \"{from}-{to}\"\n\
             to = [\"group:service\", \"queue:overflow\"]\n\
             [service.rules.service.otherwise]\nalternative = [\"group:service\", \"group:advice\", \"queue:overflow\"]"
        )
    }

    fn write_channel(&self, text: &mut String, place: usize) -> std::fmt::Result {
        let name = CHANNELS[place].0;
        let (id, number, key) = (channel(name), phone_number_id(place), api_key(place));
        let (idle, grace) = (self.seconds(120.0, 1.0), self.seconds(60.0, 1.0));
        writeln!(
            text,
            "[service.channels.{name}]\nid = \"{id}\"\nname = \"{name}\"\nrule = \"{name}\"\n\
             [service.channels.{name}.number]\nphone_number_id = \"{number}\"\nsource = \"200100200400\"\n\
             api_key_file = \"{key}\"\nwebhook_secret_file = \"webhook-secret\"\n\
             [service.channels.{name}.auto_close]\non = true\nidle = \"{idle}\"\ngrace = \"{grace}\"\n\
             [service.channels.{name}.sticky]\non = true"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_run_as_fast_as_the_day_where_they_can() {
        let business = Business { agents: 10, speed: 60.0, half: 5 };
        assert_eq!(business.seconds(120.0, 1.0), "2000ms");
        assert_eq!(business.seconds(60.0, 5.0), "5000ms");
        let too_slow = business.too_slow();
        assert_eq!(too_slow.len(), 3);
        assert!((too_slow[0].1 - 300.0).abs() < 1e-9);
        assert!(Business { speed: 1.0, ..business }.too_slow().is_empty());
    }

    #[test]
    fn shares_add_up() {
        assert_eq!(SHARES.iter().map(|share| share.1).sum::<u32>(), 100);
        assert!((CHANNELS.iter().map(|channel| channel.1).sum::<f64>() - 1.0).abs() < 1e-9);
        assert!((GROUPS.iter().map(|group| group.1).sum::<f64>() - 1.0).abs() < 1e-9);
    }
}
