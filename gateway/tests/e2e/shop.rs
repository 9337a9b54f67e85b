//! The settings a test runs with: one shop, of which each test says what matters to it.

use std::fmt::Write as _;

use usher_domain::ids::ChannelId;

pub(crate) const PASSWORD: &str = "open sesame";
pub(crate) const WEBHOOK_SECRET: &str = "only-the-provider-knows";

/// A service file in the making.
#[derive(Clone, Debug)]
pub(crate) struct Shop {
    pub(crate) key: &'static str,
    /// First names; e-mails are made from them. The first two are administrator and supervisor.
    pub(crate) agents: Vec<String>,
    pub(crate) capacity: u32,
    /// Seconds.
    pub(crate) auto_close: Option<(u32, u32)>,
    pub(crate) welcome: bool,
    pub(crate) sticky: bool,
    pub(crate) method: &'static str,
    /// WhatsApp numbers, each with a channel of its own.
    pub(crate) channels: u32,
}

impl Shop {
    pub(crate) fn new(key: &'static str, agents: &[&str]) -> Self {
        Self {
            key,
            agents: agents.iter().map(|agent| (*agent).to_owned()).collect(),
            capacity: 5,
            auto_close: None,
            welcome: true,
            sticky: true,
            method: "simultaneous",
            channels: 1,
        }
    }

    fn number(&self) -> u128 {
        self.key.bytes().fold(7, |sum, byte| sum * 31 + u128::from(byte)) % 1_000_000
    }

    pub(crate) fn channel(&self) -> ChannelId {
        self.channel_of(0)
    }

    pub(crate) fn channel_of(&self, index: u32) -> ChannelId {
        ChannelId::from_number(self.number() * 100 + u128::from(index))
    }

    pub(crate) fn phone_number_id(&self) -> String {
        self.phone_number_id_of(0)
    }

    pub(crate) fn phone_number_id_of(&self, index: u32) -> String {
        format!("10000{:06}{index:02}", self.number())
    }

    pub(crate) fn api_key_of(&self, index: u32) -> String {
        format!("key-of-{}-{index}", self.key)
    }

    /// The provider account; each serves one service only.
    pub(crate) fn source(&self) -> String {
        format!("2000000{:06}", self.number())
    }

    pub(crate) fn api_key(&self) -> String {
        self.api_key_of(0)
    }

    pub(crate) fn email(&self, name: &str) -> String {
        format!("{name}@{}.example", self.key)
    }

    pub(crate) fn text(&self) -> String {
        let Self { key, capacity, method, .. } = self;
        let mut text = format!(
            "[[service]]\nkey = \"{key}\"\ndemo = true\npresence_grace = \"20s\"\nno_answer_limit = 0\n"
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
        write!(
            text,
            "[service.groups.support]\nmembers = {:?}\nmethod = \"{method}\"\n\
             [service.rules.support]\nalternative = [\"group:support\"]\n",
            self.agents
        )
        .unwrap();
        for index in 0..self.channels {
            self.write_channel(index, &mut text);
        }
        text
    }

    fn write_channel(&self, index: u32, text: &mut String) {
        let Self { key, welcome, sticky, .. } = self;
        let (id, number) = (self.channel_of(index), self.phone_number_id_of(index));
        let (source, api_key) = (self.source(), self.api_key_of(index));
        let channel = format!("service.channels.support{index}");
        write!(
            text,
            "[{channel}]\nid = \"{id}\"\nname = \"Support {index}\"\nrule = \"support\"\n\
             display_name = \"first_name\"\n\
             [{channel}.number]\nphone_number_id = \"{number}\"\nsource = \"{source}\"\n\
             api_key_file = \"{api_key}\"\nwebhook_secret_file = \"webhook-secret\"\n\
             [{channel}.welcome]\non = {welcome}\ntext = \"Welcome to {key}!\"\n\
             [{channel}.close]\non = true\ntext = \"Goodbye from {key}.\"\n\
             [{channel}.sticky]\non = {sticky}\n"
        )
        .unwrap();
        if let Some((idle, grace)) = self.auto_close {
            write!(
                text,
                "[{channel}.auto_close]\non = true\nidle = \"{idle}s\"\n\
                 grace = \"{grace}s\"\ntext = \"Still there?\"\n"
            )
            .unwrap();
        }
    }
}
