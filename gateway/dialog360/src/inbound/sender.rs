//! Decides who a message is from: `contacts` matched by phone or user id, never by position.

use std::borrow::Cow;
use std::collections::HashMap;

use super::model::Sender;
use crate::json::Node;
use crate::phone;

/// Up to this many contacts are looked through; more get an index, so that a large batch stays
/// linear.
const LINEAR_MAX: usize = 8;

/// The `contacts` of one value.
pub(super) struct Contacts<'a> {
    all: Vec<Contact<'a>>,
    index: HashMap<Cow<'a, str>, usize>,
}

/// Somebody as the provider names them; like [`Sender`], borrowed from the body.
#[derive(Clone, Debug, Default)]
pub(super) struct Contact<'a> {
    pub(super) wa_id: Option<Cow<'a, str>>,
    pub(super) user_id: Option<Cow<'a, str>>,
    parent_user_id: Option<Cow<'a, str>>,
    profile_name: Option<Cow<'a, str>>,
    username: Option<Cow<'a, str>>,
}

impl From<Contact<'_>> for Sender {
    fn from(contact: Contact<'_>) -> Self {
        Self {
            wa_id: contact.wa_id.map(Cow::into_owned),
            user_id: contact.user_id.map(Cow::into_owned),
            parent_user_id: contact.parent_user_id.map(Cow::into_owned),
            profile_name: contact.profile_name.map(Cow::into_owned),
            username: contact.username.map(Cow::into_owned),
        }
    }
}

impl<'a> Contacts<'a> {
    pub(super) fn new(contacts: &Node<'a>) -> Self {
        let all: Vec<_> = contacts.items().iter().map(contact).collect();
        let mut index = HashMap::new();
        if all.len() > LINEAR_MAX {
            let ids = all.iter().enumerate().flat_map(|(position, contact)| {
                let ids = [&contact.wa_id, &contact.user_id];
                ids.into_iter().flatten().map(move |id| (id.clone(), position))
            });
            // The first of several wins, as it does when they are looked through.
            index.extend(ids.collect::<Vec<_>>().into_iter().rev());
        }
        Self { all, index }
    }

    fn find(&self, id: &str) -> Option<&Contact<'a>> {
        if self.all.len() > LINEAR_MAX {
            return self.index.get(id).and_then(|&position| self.all.get(position));
        }
        let same = |known: &Option<Cow<'a, str>>| known.as_deref() == Some(id);
        self.all.iter().find(|contact| same(&contact.wa_id) || same(&contact.user_id))
    }

    /// The one contact, if there is just one.
    fn sole(&self) -> Option<&Contact<'a>> {
        let [contact] = self.all.as_slice() else {
            return None;
        };
        Some(contact)
    }

    pub(super) fn knows(&self, id: &str) -> bool {
        self.find(id).is_some()
    }

    /// Who wrote a message.
    pub(super) fn sender(&self, message: &Node<'a>) -> Sender {
        let parent = message.get("from_parent_user_id");
        self.person(message.get("from"), message.get("from_user_id"), parent).into()
    }

    /// To whom an echo went.
    pub(super) fn recipient(&self, echo: &Node<'a>) -> Sender {
        self.person(echo.get("to"), echo.get("to_user_id"), echo.get("to_parent_user_id")).into()
    }

    /// Of whom a receipt or wish speaks.
    pub(super) fn named(&self, wa_id: &Node<'a>, user_id: &Node<'a>) -> Contact<'a> {
        self.person(wa_id, user_id, &Node::Null)
    }

    /// `address` is meant to be a phone, but may hold a user id or junk. Junk counts only if a
    /// contact bears it; with no usable id at all, a lone contact is who it must be.
    fn person(&self, address: &Node<'a>, user_id: &Node<'a>, parent: &Node<'a>) -> Contact<'a> {
        let address = address.slice();
        let number = address.clone().and_then(digits);
        let misplaced = || address.clone().filter(|text| phone::is_user_id(text));
        let user_id = user_id.slice().or_else(misplaced);
        let by_address = number.as_ref().or(address.as_ref()).and_then(|id| self.find(id));
        let by_user_id = || user_id.as_ref().and_then(|id| self.find(id));
        let nameless = number.is_none() && user_id.is_none();
        let contact = by_address
            .or_else(by_user_id)
            .or_else(|| self.sole().filter(|_| nameless))
            .cloned()
            .unwrap_or_default();
        Contact {
            wa_id: number.or(contact.wa_id),
            user_id: user_id.or(contact.user_id),
            parent_user_id: parent.slice().or(contact.parent_user_id),
            ..contact
        }
    }
}

fn contact<'a>(node: &Node<'a>) -> Contact<'a> {
    let profile = node.get("profile");
    let username = [profile, node].into_iter().find_map(|node| node.get("username").slice());
    Contact {
        wa_id: node.get("wa_id").slice().map(|text| digits(text.clone()).unwrap_or(text)),
        user_id: node.get("user_id").slice(),
        parent_user_id: node.get("parent_user_id").slice(),
        profile_name: profile.get("name").slice(),
        username: username.map(without_at).filter(|name| !name.is_empty()),
    }
}

fn without_at(name: Cow<'_, str>) -> Cow<'_, str> {
    match name {
        Cow::Borrowed(name) => Cow::Borrowed(name.trim_start_matches('@')),
        Cow::Owned(name) => Cow::Owned(name.trim_start_matches('@').to_owned()),
    }
}

/// [`phone::digits`] of what may be borrowed.
pub(super) fn digits(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    match text {
        Cow::Borrowed(text) => phone::digits(text),
        Cow::Owned(text) => Some(Cow::Owned(phone::digits(&text)?.into_owned())),
    }
}

/// A phone in digits; what is explicitly called `wa_id` is believed even if it is not one.
pub(super) fn wa_id(node: &Node<'_>) -> Option<String> {
    let text = node.filled()?;
    Some(phone::digits(text).map_or_else(|| text.to_owned(), Cow::into_owned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    const CONTACTS: &str = r#"[
        {"wa_id":"16505551234","user_id":"US.1","profile":{"name":"Ann","username":"@ann"}},
        {"user_id":"US.2","profile":{"name":"Bob","username":"bob"}},
        {"wa_id":"49301234567"}]"#;

    #[track_caller]
    fn check(contacts: &str, message: &str, expected: [Option<&str>; 3]) {
        let contacts = Contacts::new(&json::read(contacts).unwrap());
        let sender = contacts.sender(&json::read(message).unwrap());
        let found =
            [sender.wa_id.as_deref(), sender.user_id.as_deref(), sender.profile_name.as_deref()];
        assert_eq!(found, expected, "{message}");
    }

    #[test]
    fn contacts_are_matched_by_either_id_not_by_position() {
        check(
            CONTACTS,
            r#"{"from":"16505551234"}"#,
            [Some("16505551234"), Some("US.1"), Some("Ann")],
        );
        check(
            CONTACTS,
            r#"{"from":16505551234}"#,
            [Some("16505551234"), Some("US.1"), Some("Ann")],
        );
        check(CONTACTS, r#"{"from_user_id":"US.2"}"#, [None, Some("US.2"), Some("Bob")]);
        check(CONTACTS, r#"{"from":"US.2"}"#, [None, Some("US.2"), Some("Bob")]);
        check(CONTACTS, r#"{"from":"49301234567"}"#, [Some("49301234567"), None, None]);
    }

    #[test]
    fn nobody_is_made_the_sender_by_guessing() {
        check(CONTACTS, r#"{"from":"bla"}"#, [None, None, None]);
        check(CONTACTS, "{}", [None, None, None]);
        check("[]", r#"{"from":"bla"}"#, [None, None, None]);
        check(
            r#"[{"wa_id":"16505551234"}]"#,
            r#"{"from":"4930999999"}"#,
            [Some("4930999999"), None, None],
        );
    }

    #[test]
    fn a_lone_contact_stands_in_for_junk_and_silence() {
        let lone = r#"[{"user_id":"US.2","profile":{"name":"Bob"}}]"#;
        check(lone, "{}", [None, Some("US.2"), Some("Bob")]);
        check(lone, r#"{"from":"bla"}"#, [None, Some("US.2"), Some("Bob")]);
    }

    #[test]
    fn large_batches_are_indexed() {
        let cards: Vec<_> =
            (0..50).map(|n| format!(r#"{{"wa_id":"1650555{n:04}","user_id":"US.{n}"}}"#)).collect();
        let contacts = format!("[{}]", cards.join(","));
        check(&contacts, r#"{"from":"16505550042"}"#, [Some("16505550042"), Some("US.42"), None]);
        check(&contacts, r#"{"from_user_id":"US.7"}"#, [Some("16505550007"), Some("US.7"), None]);
    }

    #[test]
    fn usernames_lose_their_at() {
        let contacts = Contacts::new(&json::read(CONTACTS).unwrap());
        let names: Vec<_> = contacts.all.iter().map(|c| c.username.as_deref()).collect();
        assert_eq!(names, [Some("ann"), Some("bob"), None]);
    }
}
