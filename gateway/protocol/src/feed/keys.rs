//! Remembers which keyed sendings were done, so that a repeat gets the first one's answer.

use std::collections::{BTreeMap, VecDeque};

use usher_domain::ids::MessageId;

use crate::command::Key;

/// The newest keys of one staff member. Rebuilt from records after a restart.
#[derive(Debug)]
pub struct Keys {
    done: BTreeMap<Key, MessageId>,
    /// Oldest first.
    order: VecDeque<Key>,
    limit: usize,
}

impl Keys {
    /// Enough for everything a client repeats after a lost connection, many times over.
    pub const LIMIT: usize = 1_000;

    pub const fn new(limit: usize) -> Self {
        Self { done: BTreeMap::new(), order: VecDeque::new(), limit }
    }

    /// The message a sending with this key became.
    pub fn done(&self, key: &Key) -> Option<MessageId> {
        self.done.get(key).copied()
    }

    /// The first message of a key stands.
    pub fn remember(&mut self, key: Key, message: MessageId) {
        if self.done.contains_key(&key) {
            return;
        }
        self.done.insert(key.clone(), message);
        self.order.push_back(key);
        while self.order.len() > self.limit {
            if let Some(oldest) = self.order.pop_front() {
                self.done.remove(&oldest);
            }
        }
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self::new(Self::LIMIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_message_of_a_key_stands_until_it_is_old() {
        let key = |text: &str| Key::try_from(text.to_owned()).unwrap();
        let mut keys = Keys::new(2);
        keys.remember(key("a"), MessageId::from_number(1));
        keys.remember(key("a"), MessageId::from_number(2));
        assert_eq!(keys.done(&key("a")), Some(MessageId::from_number(1)));
        keys.remember(key("b"), MessageId::from_number(3));
        keys.remember(key("c"), MessageId::from_number(4));
        assert_eq!(keys.done(&key("a")), None);
        assert_eq!(keys.done(&key("c")), Some(MessageId::from_number(4)));
    }
}
