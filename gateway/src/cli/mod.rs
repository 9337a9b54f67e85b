//! The command line: which sub-command does what, and how its failure is told.

mod agent;
mod explain;
mod migrate;
mod terminal;
mod visit;

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Parser, Subcommand};
use secrecy::SecretString;
use usher_config::{Config, LoadOptions, Loaded};
use usher_store::DataDir;

use crate::{accounts, app, log};

/// Real-time enquiry routing for customer service. Without a sub-command: `serve`.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    /// Settings besides the built-in ones; see `usher print-config`.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One setting by its path, as `http.bind=0.0.0.0:8480`.
    #[arg(long = "set", global = true, value_name = "PATH=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run Usher; where no service is set up, the built-in demo with pretend phones.
    Serve,
    /// Read all settings, say what is wrong with them, and start nothing.
    CheckConfig,
    /// Show each setting and where it came from.
    PrintConfig,
    /// Make the archive anew from the journal. Usher must not be running.
    Rebuild,
    /// Read a password from standard input and print its hash, for service files.
    HashPassword,
    Migrate(migrate::Args),
    Explain(explain::Args),
    Agent(agent::Args),
    Visit(visit::Args),
}

/// Runs the program; failures are told on standard error.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nowhere to say it: the exit code says enough.
            writeln!(io::stderr(), "usher: {error:#}").ok();
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let options = LoadOptions::from_process(cli.config, cli.set.into_iter().collect());
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => serve(&options),
        Command::CheckConfig => check_config(&options),
        Command::PrintConfig => say(&load(&options)?.print_config()),
        Command::Rebuild => rebuild(&load(&options)?.config),
        Command::HashPassword => hash_password(),
        Command::Migrate(args) => migrate::run(&args),
        Command::Explain(args) => block_on(explain::run(args)),
        Command::Agent(args) => block_on(agent::run(args)),
        Command::Visit(args) => block_on(visit::run(args)),
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (path, value) = text.split_once('=').ok_or("it has to be PATH=VALUE")?;
    Ok((path.trim().to_owned(), value.to_owned()))
}

fn block_on(future: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    // The calls of the client go through it, encrypted or not.
    drop(rustls::crypto::ring::default_provider().install_default());
    actix_rt::System::new().block_on(future)
}

fn load(options: &LoadOptions) -> anyhow::Result<Loaded> {
    let loaded = Config::load(options).context("the settings cannot be used")?;
    app::check(&loaded).context("the settings cannot be used")?;
    Ok(loaded)
}

/// With nothing set up at all, what somebody wants is to see it run.
fn load_or_demo(options: &LoadOptions) -> anyhow::Result<Loaded> {
    let loaded = load(options)?;
    if !loaded.services.is_empty() || options.file.is_some() {
        return Ok(loaded);
    }
    let demo = ["services.demo", "sandbox.on"].map(|path| (path.to_owned(), "true".to_owned()));
    let mut overrides: BTreeMap<_, _> = demo.into_iter().collect();
    overrides.extend(options.overrides.clone());
    load(&LoadOptions { overrides, ..options.clone() })
}

fn serve(options: &LoadOptions) -> anyhow::Result<()> {
    let loaded = load_or_demo(options)?;
    log::install(&loaded.config.log)?;
    block_on(app::run(loaded))
}

fn check_config(options: &LoadOptions) -> anyhow::Result<()> {
    let loaded = load(options)?;
    for warning in &loaded.warnings {
        say(&format!("warning: {warning}"))?;
    }
    let channels: usize = loaded.services.iter().map(|s| s.settings.channels.len()).sum();
    say(&format!("{} services, {channels} channels: usable", loaded.services.len()))
}

fn rebuild(config: &Config) -> anyhow::Result<()> {
    let dir = DataDir::lock(&config.data_dir)?;
    usher_store::rebuild(&dir, app::postgres(config)?)
        .context("the archive could not be made anew")?;
    say("the archive was made anew from the journal")
}

fn hash_password() -> anyhow::Result<()> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        bail!("no password on standard input");
    }
    say(&accounts::hash(&SecretString::from(password))?)
}

fn say(text: &str) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{}", text.trim_end())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
        let cli = Cli::parse_from(["usher", "--set", "http.bind=127.0.0.1:1", "check-config"]);
        assert_eq!(cli.set, [("http.bind".to_owned(), "127.0.0.1:1".to_owned())]);
        assert!(Cli::try_parse_from(["usher", "--set", "http.bind"]).is_err());
        assert!(Cli::parse_from(["usher"]).command.is_none());
    }

    /// What `check-config` says of a settings file.
    fn told(settings: &str) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), settings).unwrap();
        let overrides = [("services.demo".to_owned(), "true".to_owned())].into();
        let environment = [("USHER_CLUSTER_SECRET".to_owned(), "0123456789abcdef".to_owned())];
        let environment = environment.into();
        let options = LoadOptions { file: Some(file.path().to_owned()), environment, overrides };
        let told =
            check_config(&options).map_or_else(|error| format!("{error:#}"), |()| String::new());
        told.replace(&file.path().display().to_string(), "usher.toml")
    }

    #[test]
    fn an_address_that_cannot_be_meant_is_told_with_its_place_and_what_would_be_right() {
        let shared = |url: &str, redis: &str, more: &str| {
            told(&format!(
                "[store]\nurl = \"{url}\"\n{more}\n[cluster]\nbind = \"127.0.0.1:8482\"\nredis = \"{redis}\"\n"
            ))
        };
        let (url, redis) = ("postgres://usher@db/usher", "redis://redis");
        assert_eq!(shared(url, redis, ""), "");
        for (told, place, why) in [
            (shared(url, "redis://:secret@redis", ""), "6:1: cluster.redis", "names a password"),
            (
                shared(url, "redis+sentinel://a,b", ""),
                "6:1: cluster.redis",
                "redis+sentinel://host/master",
            ),
            (shared(url, "http://redis", ""), "6:1: cluster.redis", "has to begin with redis://"),
            (shared(&format!("{url}?sslmode=on"), redis, ""), "2:1: store.url", "verify-full"),
            (
                shared(&format!("{url}?sslmode=verify-ca"), redis, ""),
                "2:1: store.url",
                "set `store.certificates`",
            ),
            (
                shared(url, redis, "certificates = \"/nowhere.pem\""),
                "3:1: store.certificates",
                "cannot read /nowhere.pem",
            ),
            (
                shared(url, redis, "certificates = \"/dev/null\""),
                "3:1: store.certificates",
                "no certificate in PEM",
            ),
        ] {
            let expected = format!("usher.toml:{place}: ");
            assert!(told.contains(&expected) && told.contains(why), "{why}: {told}");
            assert!(!told.contains("secret"), "{told}");
        }
        let both = shared("postgres://usher@db/usher?colour=blue", "redis://a,b", "");
        assert!(both.contains("store.url") && both.contains("cluster.redis"), "in one go: {both}");
    }

    #[test]
    fn with_nothing_set_up_it_is_the_demo() {
        let loaded = load_or_demo(&LoadOptions::default()).unwrap();
        assert!(loaded.config.sandbox.on && loaded.services.iter().any(|service| service.demo));
    }
}
