//! The application behind the client's half: a running digest of all it was told.

use usher_protocol::event::{Event, Head, Now};
use usher_protocol::frame::{Numbered, StateFrame};

/// A digest of a list of numbers: equal only for equal lists.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Digest {
    count: u64,
    hash: u64,
}

impl Digest {
    pub(super) fn and(self, number: u64) -> Self {
        let hash = (self.hash ^ number).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        Self { count: self.count + 1, hash: hash.wrapping_add(self.count) }
    }

    pub(super) fn written(self) -> String {
        format!("{}:{}", self.count, self.hash)
    }

    fn read(text: &str) -> Self {
        let (count, hash) = text.split_once(':').expect("a digest");
        Self { count: count.parse().unwrap(), hash: hash.parse().unwrap() }
    }
}

/// What the application knows.
#[derive(Debug, Default)]
pub(super) struct App {
    pub(super) digest: Digest,
    /// The last statement of the counters: how many wait.
    pub(super) waiting: Option<u32>,
}

impl App {
    pub(super) fn apply(&mut self, event: &Numbered) {
        let Some(Event::Notice { text, .. }) = event.typed() else { panic!("{event:?}") };
        self.digest = self.digest.and(text.parse().expect("the event's number"));
    }

    pub(super) fn replace(&mut self, heads: &[Head]) {
        let digests: Vec<_> = heads.iter().filter_map(|head| head.first_message.clone()).collect();
        assert_eq!(digests.len(), heads.len(), "every head carries the digest");
        assert_eq!(heads[0].order, heads.len() as u64, "every head carries how many there are");
        assert!(digests.windows(2).all(|pair| pair[0] == pair[1]), "of one moment: {digests:?}");
        self.digest = Digest::read(&digests[0]);
    }

    pub(super) fn state(&mut self, state: &StateFrame) {
        let Some(Now::Counters(counters)) = state.typed() else { panic!("{state:?}") };
        self.waiting = Some(counters.waiting);
    }
}
