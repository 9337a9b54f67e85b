//! Decides whether a template can be sent as somebody has filled it in.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// One of a channel's templates, as the provider last listed it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Listed {
    pub name: String,
    pub language: String,
    /// `approved`, or what else the provider calls it.
    pub status: String,
    /// `None`: from a list that did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wants: Option<Wants>,
}

/// What has to be filled in.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Wants {
    /// Variables in the body.
    pub body: usize,
    /// The variables have names instead of numbers.
    pub named: bool,
    pub header: Header,
    /// Buttons with a variable, as an address that ends in one.
    pub buttons: usize,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Header {
    /// Nothing to be filled in.
    #[default]
    Fixed,
    Text,
    /// A picture, a video, a document or a place.
    File,
}

/// Why it cannot be sent.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Unfit {
    #[error("This channel has no template {name}.")]
    NoSuch { name: String },
    #[error("The template {name} does not exist in {language}; there is {there}.")]
    Language { name: String, language: String, there: String },
    #[error("The template {name} is {status}; only approved ones can be sent.")]
    NotApproved { name: String, status: String },
    #[error("The template {name} has {wanted} variables in its text; {given} were filled in.")]
    Variables { name: String, wanted: usize, given: usize },
    #[error("Variable {number} of the template {name} is empty.")]
    Empty { name: String, number: usize },
    #[error("The template {name} has a {part} to be filled in, which cannot be done here.")]
    Part { name: String, part: &'static str },
}

/// `all`: the channel's templates.
pub fn fits(all: &[Listed], name: &str, language: &str, body: &[String]) -> Result<(), Unfit> {
    let called: Vec<&Listed> = all.iter().filter(|listed| listed.name == name).collect();
    let name = || name.to_owned();
    if called.is_empty() {
        return Err(Unfit::NoSuch { name: name() });
    }
    let Some(listed) = called.iter().find(|listed| listed.language == language) else {
        let there: Vec<&str> = called.iter().map(|listed| listed.language.as_str()).collect();
        let (language, there) = (language.to_owned(), there.join(", "));
        return Err(Unfit::Language { name: name(), language, there });
    };
    if listed.status != "approved" {
        return Err(Unfit::NotApproved { name: name(), status: listed.status.clone() });
    }
    let Some(wants) = listed.wants else { return Ok(()) };
    let part = |part| Err(Unfit::Part { name: name(), part });
    match wants.header {
        Header::Fixed => {}
        Header::Text => return part("variable in its header"),
        Header::File => return part("file or place in its header"),
    }
    if wants.buttons > 0 {
        return part("variable in a button");
    }
    if wants.named {
        return part("named variable");
    }
    if wants.body != body.len() {
        let (wanted, given) = (wants.body, body.len());
        return Err(Unfit::Variables { name: name(), wanted, given });
    }
    match body.iter().position(|variable| variable.trim().is_empty()) {
        Some(index) => Err(Unfit::Empty { name: name(), number: index + 1 }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(name: &str, language: &str, status: &str, wants: Option<Wants>) -> Listed {
        let [name, language, status] = [name, language, status].map(str::to_owned);
        Listed { name, language, status, wants }
    }

    #[test]
    fn a_template_fits_as_the_provider_lists_it() {
        let two = Wants { body: 2, ..Wants::default() };
        let all = [
            listed("order", "en_US", "approved", Some(two)),
            listed("order", "de", "paused", Some(two)),
            listed("old", "en", "approved", None),
            listed("photo", "en", "approved", Some(Wants { header: Header::File, ..two })),
            listed("names", "en", "approved", Some(Wants { named: true, ..two })),
            listed("link", "en", "approved", Some(Wants { buttons: 1, ..two })),
        ];
        let judged = |name: &str, language: &str, body: &[&str]| {
            let body: Vec<String> = body.iter().map(|text| (*text).to_owned()).collect();
            fits(&all, name, language, &body).map_err(|unfit| unfit.to_string())
        };
        assert_eq!(judged("order", "en_US", &["Ann", "7"]), Ok(()));
        assert_eq!(judged("old", "en", &["whatever"]), Ok(()), "its list did not say");
        for (name, language, body, says) in [
            ("orders", "en_US", &["Ann", "7"][..], "no template orders"),
            ("order", "en", &["Ann", "7"], "there is en_US, de"),
            ("order", "de", &["Ann", "7"], "is paused"),
            ("order", "en_US", &["Ann"], "2 variables in its text; 1 were"),
            ("order", "en_US", &["Ann", " "], "Variable 2"),
            ("photo", "en", &["Ann", "7"], "file or place"),
            ("names", "en", &["Ann", "7"], "named"),
            ("link", "en", &["Ann", "7"], "button"),
        ] {
            let said = judged(name, language, body).unwrap_err();
            assert!(said.contains(says), "{said}");
        }
    }
}
