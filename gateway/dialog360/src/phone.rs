//! Decides what looks like a phone number and what like a business-scoped user id.

use std::borrow::Cow;

/// The shortest and longest run of digits taken for a phone number (E.164 allows 15; groups and
/// test numbers are longer or shorter).
const DIGITS: std::ops::RangeInclusive<usize> = 5..=20;

/// The digits of a phone number, its punctuation removed; `None` when it is not one.
pub(crate) fn digits(text: &str) -> Option<Cow<'_, str>> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return DIGITS.contains(&text.len()).then_some(Cow::Borrowed(text));
    }
    let mut digits = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '0'..='9' => digits.push(character),
            '+' | ' ' | '-' | '(' | ')' | '.' | '\u{a0}' => {}
            _ => return None,
        }
    }
    DIGITS.contains(&digits.len()).then_some(Cow::Owned(digits))
}

/// `US.1349…` or `US.ENT.1181…`.
pub(crate) fn is_user_id(text: &str) -> bool {
    let Some((country, rest)) = text.split_once('.') else {
        return false;
    };
    country.len() == 2
        && country.bytes().all(|byte| byte.is_ascii_uppercase())
        && !rest.is_empty()
        && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn punctuation_is_removed_and_junk_refused() {
        assert_eq!(digits("+250 788 123-200").as_deref(), Some("250788123200"));
        assert_eq!(digits("1-555-123-4567").as_deref(), Some("15551234567"));
        assert_eq!(digits("bla"), None);
        assert_eq!(digits("US.13491208655302741918"), None);
        assert_eq!(digits(""), None);
        assert_eq!(digits("123456789012345678901"), None);
    }

    #[test]
    fn user_ids_begin_with_a_country() {
        assert!(is_user_id("US.13491208655302741918"));
        assert!(is_user_id("DE.ENT.11815799212886844830"));
        assert!(!is_user_id("16505551234"));
        assert!(!is_user_id("US."));
        assert!(!is_user_id("bla.bla"));
    }
}
