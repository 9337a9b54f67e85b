//! What is wrong with the settings, where, and where each value came from.

use std::cell::RefCell;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use thiserror::Error;

/// Where a value came from; later layers win.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Origin {
    /// The embedded `usher.toml`.
    Default,
    File {
        file: Arc<Path>,
        /// From 1.
        line: usize,
        /// In characters, from 1.
        column: usize,
    },
    /// The name of the environment variable.
    Environment(String),
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line, column } => {
                write!(f, "{}:{line}:{column}", file.display())
            }
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// One thing to put right, in words for whoever wrote the file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// The setting, as `http.bind` or `service.demo.channels.support.name`; empty for a whole file.
    pub path: String,
    pub what: String,
    pub origin: Option<Origin>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = self.origin.as_ref().filter(|origin| **origin != Origin::Default) {
            write!(f, "{origin}: ")?;
        }
        if self.path.is_empty() {
            f.write_str(&self.what)
        } else {
            write!(f, "{}: {}", self.path, self.what)
        }
    }
}

/// Everything that is wrong with the settings, found in one go.
#[derive(Clone, Debug, Error)]
#[error("{}", lines(.0))]
pub struct Faults(pub Vec<Fault>);

fn lines(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Collects faults and warnings while reading goes on.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    faults: RefCell<Vec<Fault>>,
    warnings: RefCell<Vec<Fault>>,
    /// Every key any reader knows, for the tests of the manuals.
    #[cfg(test)]
    pub(crate) known: RefCell<std::collections::BTreeSet<&'static str>>,
}

impl Notes {
    pub(crate) fn fault(
        &self,
        path: impl Into<String>,
        what: impl Into<String>,
        at: Option<&Origin>,
    ) {
        let fault = Fault { path: path.into(), what: what.into(), origin: at.cloned() };
        self.faults.borrow_mut().push(fault);
    }

    pub(crate) fn warn(
        &self,
        path: impl Into<String>,
        what: impl Into<String>,
        at: Option<&Origin>,
    ) {
        let fault = Fault { path: path.into(), what: what.into(), origin: at.cloned() };
        self.warnings.borrow_mut().push(fault);
    }

    /// The warnings, where nothing was wrong.
    pub(crate) fn outcome(self) -> Result<Vec<Fault>, Faults> {
        let faults = self.faults.into_inner();
        if faults.is_empty() { Ok(self.warnings.into_inner()) } else { Err(Faults(faults)) }
    }
}
