//! The settings a test runs with: one shop, of which each test says what matters to it.

use std::fmt::Write as _;

use usher_domain::ids::ChannelId;

pub const PASSWORD: &str = "open sesame";
pub const WEBHOOK_SECRET: &str = "only-the-provider-knows";

/// A service file in the making.
#[derive(Clone, Debug)]
pub struct Shop {
    pub key: &'static str,
    /// First names; e-mails are made from them. The first two are administrator and supervisor.
    pub agents: Vec<String>,
    pub capacity: u32,
    /// Seconds.
    pub auto_close: Option<(u32, u32)>,
    pub welcome: bool,
    pub sticky: bool,
    pub auto_pick_up: bool,
    pub method: &'static str,
}

impl Shop {
    pub fn new(key: &'static str, agents: &[&str]) -> Self {
        Self {
            key,
            agents: agents.iter().map(|agent| (*agent).to_owned()).collect(),
            capacity: 5,
            auto_close: None,
            welcome: true,
            sticky: true,
            auto_pick_up: false,
            method: "simultaneous",
        }
    }

    fn number(&self) -> u128 {
        self.key.bytes().fold(7, |sum, byte| sum * 31 + u128::from(byte)) % 1_000_000
    }

    pub fn channel(&self) -> ChannelId {
        ChannelId::from_number(self.number())
    }

    pub fn phone_number_id(&self) -> String {
        format!("1000000{:06}", self.number())
    }

    /// The provider account; each serves one service only.
    pub fn source(&self) -> String {
        format!("2000000{:06}", self.number())
    }

    pub fn api_key(&self) -> String {
        format!("key-of-{}", self.key)
    }

    pub fn email(&self, name: &str) -> String {
        format!("{name}@{}.example", self.key)
    }

    pub fn text(&self) -> String {
        let Self { key, capacity, method, auto_pick_up, welcome, sticky, .. } = self;
        let mut text = format!(
            "[[service]]\nkey = \"{key}\"\ndemo = true\nauto_pick_up = {auto_pick_up}\n\
             presence_grace = \"20s\"\nno_answer_limit = 0\n"
        );
        let people = [("ada", "administrator"), ("sam", "supervisor")];
        let agents = self.agents.iter().map(|agent| (agent.as_str(), "agent"));
        for (name, role) in people.into_iter().chain(agents) {
            let email = self.email(name);
            write!(
                text,
                "[service.staff.{name}]\nfirst_name = \"{name}\"\nemail = \"{email}\"\nrole = \"{role}\"\n\
                 capacity = {capacity}\ndemo_password = \"{PASSWORD}\"\n"
            )
            .unwrap();
        }
        let members = format!("{:?}", self.agents);
        let (id, number, source) = (self.channel(), self.phone_number_id(), self.source());
        let api_key = self.api_key();
        write!(
            text,
            "[service.groups.support]\nmembers = {members}\nmethod = \"{method}\"\n\
             [service.rules.support]\nalternative = [\"group:support\"]\n\
             [service.channels.support]\nid = \"{id}\"\nname = \"Support\"\nrule = \"support\"\n\
             display_name = \"first_name\"\n\
             [service.channels.support.number]\nphone_number_id = \"{number}\"\n\
             source = \"{source}\"\napi_key_file = \"{api_key}\"\n\
             webhook_secret_file = \"webhook-secret\"\n\
             [service.channels.support.welcome]\non = {welcome}\ntext = \"Welcome to {key}!\"\n\
             [service.channels.support.close]\non = true\ntext = \"Goodbye from {key}.\"\n\
             [service.channels.support.sticky]\non = {sticky}\n"
        )
        .unwrap();
        if let Some((idle, grace)) = self.auto_close {
            write!(
                text,
                "[service.channels.support.auto_close]\non = true\nidle = \"{idle}s\"\n\
                 grace = \"{grace}s\"\ntext = \"Still there?\"\n"
            )
            .unwrap();
        }
        text
    }
}
