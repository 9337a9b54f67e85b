//! From files, environment and flags to settings that hold together, or to all that is wrong.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::fault::{Fault, Faults, Notes};
use crate::node::{Node, Source, parse};
use crate::program::{self, Config};
use crate::service::{self, Service};
use crate::table::{Reading, Table};
use crate::{DEMO_TOML, USHER_TOML, layers, print};

/// What the settings are read from, besides the embedded defaults.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// Variables by name; see [`LoadOptions::from_process`].
    pub environment: BTreeMap<String, String>,
    /// Settings by path, as `http.bind`; texts as the environment would have them.
    pub overrides: BTreeMap<String, String>,
}

impl LoadOptions {
    /// With the environment of this process; variables that are not Unicode are left out.
    pub fn from_process(file: Option<PathBuf>, overrides: BTreeMap<String, String>) -> Self {
        let variables = std::env::vars_os();
        let environment = variables
            .filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)))
            .collect();
        Self { file, environment, overrides }
    }
}

/// Settings that hold together.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    pub services: Vec<Service>,
    /// What is allowed but probably not meant.
    pub warnings: Vec<Fault>,
    tree: Node,
}

impl Loaded {
    /// The effective `usher.toml`, each value with its origin; secrets as `…`.
    pub fn print_config(&self) -> String {
        print::print(&self.tree)
    }

    /// What somebody else found wrong with a setting, and where it stands.
    pub fn fault(&self, path: &str, what: String) -> Fault {
        let found = self.tree.leaves().into_iter().find(|(known, _)| known.as_str() == path);
        let origin = found.map(|(_, node)| node.origin.clone());
        Fault { path: path.to_owned(), what, origin }
    }
}

impl Config {
    /// Reads everything; what is wrong is reported together.
    pub fn load(options: &LoadOptions) -> Result<Loaded, Faults> {
        Self::load_over(USHER_TOML, options)
    }

    pub(crate) fn load_over(defaults: &str, options: &LoadOptions) -> Result<Loaded, Faults> {
        let notes = Notes::default();
        let mut tree = parse(defaults, &Source::Default, &notes);
        if let Some(file) = &options.file
            && let Some(upper) = read_file(file, "", &notes)
        {
            tree.overlay(upper);
        }
        let strangers = layers::environment(&mut tree, &options.environment);
        layers::flags(&mut tree, &options.overrides, &notes);

        let reading = Reading::new(&notes, &options.environment);
        let config = program::read(Table::of(&tree, String::new(), &reading));
        let services = config.as_ref().map(|config| services(config, &reading));
        let used = reading.used.take();
        layers::warn_of(strangers.iter().filter(|name| !used.contains(*name)), &tree, &notes);
        let warnings = notes.outcome()?;
        let (config, services) = config.zip(services).expect("without a fault all of it was read");
        Ok(Loaded { config, services, warnings, tree })
    }
}

fn services(config: &Config, reading: &Reading<'_>) -> Vec<Service> {
    let mut trees = Vec::new();
    if config.services.demo {
        trees.push(parse(DEMO_TOML, &Source::File(Path::new("demo.toml")), reading.notes));
    }
    for file in &config.services.files {
        trees.extend(read_file(file, "services.files", reading.notes));
    }
    if trees.is_empty() {
        let what = "no service is set up; name a service file, or switch `services.demo` on";
        reading.notes.warn("services.files", what, None);
    }
    service::read(&trees, config, reading)
}

fn read_file(file: &Path, path: &str, notes: &Notes) -> Option<Node> {
    match fs::read_to_string(file) {
        Ok(text) => Some(parse(&text, &Source::File(file), notes)),
        Err(error) => {
            notes.fault(path, format!("cannot read {}: {error}", file.display()), None);
            None
        }
    }
}
