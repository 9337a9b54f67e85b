//! The two kinds of file, read as the program reads them.

mod cluster;
mod layers;
mod manual;
mod services;

use std::collections::BTreeMap;
use std::fs;

use tempfile::TempDir;

use crate::{Config, Fault, Faults, LoadOptions, Loaded};

/// Settings in a directory of their own.
struct Setup {
    directory: TempDir,
    options: LoadOptions,
}

impl Setup {
    fn new() -> Self {
        Self { directory: TempDir::new().unwrap(), options: LoadOptions::default() }
    }

    fn file(mut self, text: &str) -> Self {
        self.write("usher.toml", text);
        self.options.file = Some(self.directory.path().join("usher.toml"));
        self
    }

    /// With one service file besides.
    fn service(self, text: &str) -> Self {
        self.write("shop.toml", text);
        self.file("[services]\nfiles = [\"shop.toml\"]\n")
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.directory.path().join(name), text).unwrap();
    }

    fn env(mut self, name: &str, text: &str) -> Self {
        self.options.environment.insert(name.to_owned(), text.to_owned());
        self
    }

    fn flag(mut self, path: &str, text: &str) -> Self {
        self.options.overrides.insert(path.to_owned(), text.to_owned());
        self
    }

    fn load(&self) -> Result<Loaded, Faults> {
        Config::load(&self.options)
    }

    fn faults(&self) -> Vec<Fault> {
        self.load().expect_err("something is wrong").0
    }
}

/// Path → what, for comparing.
fn by_path(faults: &[Fault]) -> BTreeMap<&str, &str> {
    faults.iter().map(|fault| (fault.path.as_str(), fault.what.as_str())).collect()
}

/// The program hands them to other threads and through its error types.
const fn crosses_threads<T: Send + Sync>() {}
const _: () = crosses_threads::<Loaded>();
const _: () = crosses_threads::<Faults>();

fn demo() -> Loaded {
    Setup::new().flag("services.demo", "true").flag("sandbox.on", "true").load().unwrap()
}
