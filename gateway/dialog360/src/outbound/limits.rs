//! Decides whether a field fits; lengths are counted in characters, as the provider does.

use thiserror::Error;

/// Why a message would be refused.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Invalid {
    #[error("{field} is empty")]
    Empty { field: &'static str },
    #[error("{field} has {given} characters, at most {limit}")]
    TooLong { field: &'static str, limit: usize, given: usize },
    #[error("{field} has {given} elements, at most {limit}")]
    TooMany { field: &'static str, limit: usize, given: usize },
    #[error("{field} has the same value twice")]
    Repeated { field: &'static str },
    #[error("{field} is not in the form it must have")]
    Malformed { field: &'static str },
    #[error("{field} does not go with this kind of message")]
    NotAllowed { field: &'static str },
}

impl Invalid {
    /// The field that is at fault, named as on the wire.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Empty { field }
            | Self::TooLong { field, .. }
            | Self::TooMany { field, .. }
            | Self::Repeated { field }
            | Self::Malformed { field }
            | Self::NotAllowed { field } => field,
        }
    }
}

pub(super) fn filled(field: &'static str, text: &str) -> Result<(), Invalid> {
    if text.trim().is_empty() { Err(Invalid::Empty { field }) } else { Ok(()) }
}

pub(super) fn within(field: &'static str, text: &str, limit: usize) -> Result<(), Invalid> {
    let given = text.chars().count();
    if given > limit { Err(Invalid::TooLong { field, limit, given }) } else { Ok(()) }
}

/// Filled, and within the limit.
pub(super) fn fits(field: &'static str, text: &str, limit: usize) -> Result<(), Invalid> {
    filled(field, text)?;
    within(field, text, limit)
}

/// Nothing, or something that [`fits`].
pub(super) fn fits_if_any(
    field: &'static str,
    text: Option<&str>,
    limit: usize,
) -> Result<(), Invalid> {
    text.map_or(Ok(()), |text| fits(field, text, limit))
}

/// At least one, at most so many.
pub(super) fn count(field: &'static str, given: usize, limit: usize) -> Result<(), Invalid> {
    match given {
        0 => Err(Invalid::Empty { field }),
        _ if given > limit => Err(Invalid::TooMany { field, limit, given }),
        _ => Ok(()),
    }
}

pub(super) fn unique<'a>(
    field: &'static str,
    values: impl Iterator<Item = &'a str>,
) -> Result<(), Invalid> {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable();
    let repeated = values.windows(2).any(|pair| pair[0] == pair[1]);
    if repeated { Err(Invalid::Repeated { field }) } else { Ok(()) }
}

pub(super) fn link(field: &'static str, url: &str) -> Result<(), Invalid> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let well = rest.is_some_and(|rest| !rest.is_empty()) && !url.contains(char::is_whitespace);
    if well { Ok(()) } else { Err(Invalid::Malformed { field }) }
}
