//! Which ids count as a person's: cleaned of the forms and the junk that providers send.

use super::person::Identities;

/// An id by which a visitor is looked up.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Key {
    WaId(Box<str>),
    UserId(Box<str>),
}

/// E.164 allows 15 digits; test numbers are longer at times.
const WA_ID_DIGITS_MAX: usize = 20;
/// A country, a dot and up to 128 characters, with room for a parent's `ENT.`.
const USER_ID_BYTES_MAX: usize = 160;

impl Identities {
    /// Takes what came in the provider's fields for what it is: a number with signs between its
    /// digits, a user id where the number should be, or nothing one could know a person by.
    pub fn read(wa_id: Option<&str>, user_id: Option<&str>) -> Self {
        let misplaced = wa_id.and_then(business_scoped);
        Self { wa_id: wa_id.and_then(number), user_id: user_id.and_then(user_id_of).or(misplaced) }
    }

    /// Neither id: nobody can be named.
    pub fn is_empty(&self) -> bool {
        self.wa_id.is_none() && self.user_id.is_none()
    }

    pub fn keys(&self) -> impl Iterator<Item = Key> + use<> {
        let Self { wa_id, user_id } = self.clone();
        wa_id.map(Key::WaId).into_iter().chain(user_id.map(Key::UserId))
    }
}

fn number(text: &str) -> Option<Box<str>> {
    let signs = |c: char| matches!(c, '+' | '-' | ' ' | '(' | ')' | '.');
    let digits: Box<str> = text.chars().filter(|&c| !signs(c)).collect();
    let is_number = !digits.is_empty()
        && digits.len() <= WA_ID_DIGITS_MAX
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some(digits)
}

fn user_id_of(text: &str) -> Option<Box<str>> {
    let text = text.trim();
    (!text.is_empty() && text.len() <= USER_ID_BYTES_MAX).then(|| text.into())
}

fn business_scoped(text: &str) -> Option<Box<str>> {
    super::country::country_of_user_id(text.trim()).and_then(|_| user_id_of(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_from_whatever_form_they_come_in() {
        for (wa_id, user_id, expected) in [
            (Some("16505551234"), Some("US.1"), (Some("16505551234"), Some("US.1"))),
            (Some("+250 788 123-200"), None, (Some("250788123200"), None)),
            (Some("US.1349"), None, (None, Some("US.1349"))),
            (Some("US.1349"), Some("US.2"), (None, Some("US.2"))),
            (Some("bla"), None, (None, None)),
            (Some(""), Some(" "), (None, None)),
            (Some("123456789012345678901"), None, (None, None)),
            (None, None, (None, None)),
        ] {
            let read = Identities::read(wa_id, user_id);
            assert_eq!((read.wa_id.as_deref(), read.user_id.as_deref()), expected, "{wa_id:?}");
            assert_eq!(read.is_empty(), expected == (None, None));
        }
        let long = "x".repeat(USER_ID_BYTES_MAX + 1);
        assert!(Identities::read(None, Some(&long)).is_empty());
    }
}
