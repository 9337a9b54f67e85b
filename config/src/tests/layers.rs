//! Layers, unknown keys, faults, secrets.

use std::time::Duration;

use secrecy::ExposeSecret as _;

use super::{Setup, by_path};
use crate::{Config, LoadOptions, LogFormat, Origin, USHER_TOML};

#[test]
fn the_defaults_are_those_of_the_manual() {
    let loaded = Config::load(&LoadOptions::default()).unwrap();
    let config = &loaded.config;
    assert_eq!(config.http.bind.to_string(), "127.0.0.1:8480");
    let bound = "0.0.0.0:4711".parse().unwrap();
    assert_eq!(config.http.public_url(bound), "http://127.0.0.1:4711");
    assert_eq!(config.http.body_max, 4 * 1024 * 1024);
    assert_eq!(config.metrics.bind.unwrap().to_string(), "127.0.0.1:9464");
    assert_eq!(config.limits.credits_per_service, 4_096);
    assert_eq!((config.limits.commands_burst, config.limits.frame_max), (60, 64 * 1024));
    assert_eq!(config.sessions.idle, Duration::from_hours(12));
    assert_eq!(config.log.format, LogFormat::Auto);
    assert!(loaded.services.is_empty());
    assert_eq!(loaded.warnings.len(), 1, "that there is no service: {:?}", loaded.warnings);
}

#[test]
fn every_layer_wins_over_those_below() {
    let text = "[http]\nbind = \"127.0.0.1:1\"\nconnections_max = 100\nbody_max = \"1MiB\"\n";
    let setup = Setup::new()
        .file(text)
        .env("USHER_HTTP_BIND", "127.0.0.1:2")
        .env("USHER_HTTP_CONNECTIONS_MAX", "200")
        .env("USHER_HTTP_ALLOWED_ORIGINS", "https://a.example, https://B.example")
        .flag("http.bind", "127.0.0.1:3");
    let loaded = setup.load().unwrap();
    let http = &loaded.config.http;
    assert_eq!(http.bind.port(), 3);
    assert_eq!(http.connections_max, 200);
    assert_eq!(http.body_max, 1024 * 1024);
    assert_eq!(http.allowed_origins, ["https://a.example", "https://b.example"]);
    assert_eq!(http.stop_grace, Duration::from_secs(2));

    let printed = loaded.print_config();
    let (_, of_http) = printed.split_once("[http]").unwrap();
    let line = |key: &str| {
        let start = format!("{key} = ");
        of_http.lines().find(|line| line.starts_with(&start)).unwrap().to_owned()
    };
    assert!(line("body_max").ends_with("usher.toml:4:1"), "{printed}");
    assert!(line("connections_max").ends_with("# environment USHER_HTTP_CONNECTIONS_MAX"));
    assert!(line("stop_grace").ends_with("# default"));
    assert!(line("bind").ends_with("# flag"));
    assert!(toml::from_str::<toml::Table>(&printed).is_ok(), "{printed}");
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_known_one() {
    let setup = Setup::new()
        .file("dta_dir = \"x\"\n\n[http]\n  bnid = \"127.0.0.1:1\"\n")
        .flag("journal.batchmax", "3");
    let faults = setup.faults();
    let found = by_path(&faults);
    assert_eq!(found["dta_dir"], "unknown key; did you mean `data_dir`?");
    assert_eq!(found["http.bnid"], "unknown key; did you mean `bind`?");
    assert_eq!(found["journal.batchmax"], "unknown key; did you mean `journal.batch_max`?");
    let bnid = faults.iter().find(|fault| fault.path == "http.bnid").unwrap();
    let Some(Origin::File { line, column, .. }) = bnid.origin else { panic!("{bnid:?}") };
    assert_eq!((line, column), (4, 3));
    assert!(bnid.to_string().contains("usher.toml:4:3: http.bnid: unknown key"), "{bnid}");
}

#[test]
fn unknown_variables_are_warned_about() {
    let setup = Setup::new().env("USHER_HTTP_BNID", "x").env("USHER_CONFIG", "usher.toml");
    let warnings = setup.load().unwrap().warnings;
    let texts: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    let wanted = "environment USHER_HTTP_BNID: no such setting; did you mean USHER_HTTP_BIND?";
    assert!(texts.iter().any(|text| text == wanted), "{texts:?}");
    assert!(!texts.iter().any(|text| text.contains("USHER_CONFIG")));
}

#[test]
fn all_faults_are_told_at_once() {
    let text = r#"
[http]
bind = "here"
body_max = 4
connections_max = "many"
[projector]
lag_slow = 5000
lag_max = 5000
[log]
level = "info,usher=loud"
format = "humane"
[sandbox]
bind = "0.0.0.0:1"
[limits]
commands_burst = 0
connections_per_staff = 17
"#;
    let setup = Setup::new().file(text).env("USHER_HTTP_STOP_GRACE", "5");
    let faults = setup.faults();
    let found = by_path(&faults);
    let paths: Vec<_> = found.keys().copied().collect();
    assert_eq!(
        paths,
        [
            "http.bind",
            "http.body_max",
            "http.connections_max",
            "http.stop_grace",
            "limits.commands_burst",
            "limits.connections_per_staff",
            "log.format",
            "log.level",
            "projector.lag_max",
            "sandbox.bind",
        ]
    );
    assert_eq!(found["http.body_max"], "must be a text, not a whole number");
    assert_eq!(found["log.format"], "`humane` is not a choice; did you mean `human`?");
    assert_eq!(found["limits.commands_burst"], "is 0; must be 1 to 10000");
    // As many as the rules admit: beyond it the wrong close code would be said.
    assert_eq!(found["limits.connections_per_staff"], "is 17; must be 1 to 16");
}

#[test]
fn broken_toml_is_told_with_its_place() {
    let setup = Setup::new().file("[http]\nbind = \n\n[log]\nlevel = \"loud\"\n");
    let told = setup.load().unwrap_err().to_string();
    assert!(told.contains("usher.toml:2:"), "{told}");
    assert!(told.contains("log.level"), "what follows is read all the same: {told}");
}

#[test]
fn secrets_come_from_environment_or_file_and_are_never_printed() {
    let by_env = Setup::new().env("USHER_PROVIDER_PLATFORM_SECRET", "sesame-1");
    let by_file = Setup::new().file("[provider]\nplatform_secret_file = \"secret.txt\"\n");
    by_file.write("secret.txt", "sesame-2\n");
    for (setup, secret) in [(by_env, "sesame-1"), (by_file, "sesame-2")] {
        let loaded = setup.load().unwrap();
        let read = loaded.config.provider.platform_secret.as_ref().unwrap();
        assert_eq!(read.expose_secret(), secret);
        assert!(!format!("{loaded:?}").contains("sesame"), "{loaded:?}");
        assert!(!loaded.print_config().contains("sesame"));
    }
    let inline = Setup::new().file("[provider]\nplatform_secret = \"sesame-3\"\n").faults();
    assert!(inline[0].what.contains("secrets do not stand in files"), "{inline:?}");
    assert!(!inline[0].to_string().contains("sesame"));
    let printed = Setup::new().env("USHER_PROVIDER_PLATFORM_SECRET", "sesame").load().unwrap();
    let printed = printed.print_config();
    let shown = "# environment USHER_PROVIDER_PLATFORM_SECRET";
    assert!(
        printed
            .lines()
            .any(|line| line.starts_with("platform_secret = \"…\"") && line.ends_with(shown)),
        "{printed}"
    );
}

#[test]
fn paths_in_a_file_begin_at_the_file() {
    let setup = Setup::new().file("data_dir = \"kept\"\n");
    let directory = setup.directory.path().to_owned();
    assert_eq!(setup.load().unwrap().config.data_dir, directory.join("kept"));
    let setup = setup.env("USHER_DATA_DIR", "elsewhere");
    assert_eq!(setup.load().unwrap().config.data_dir.to_str(), Some("elsewhere"));
}

#[test]
fn the_manual_has_every_known_key_with_a_comment() {
    let known = Config::load(&LoadOptions::default()).unwrap();
    let count = known.print_config().lines().filter(|line| line.contains(" = ")).count();
    let mut keys = 0;
    for (at, line) in USHER_TOML.lines().enumerate() {
        let is_key = !line.starts_with('#') && line.contains(" = ");
        if !is_key {
            continue;
        }
        keys += 1;
        // The reader asks for each key: without its line the manual is not complete.
        let without: Vec<_> =
            USHER_TOML.lines().enumerate().filter(|(n, _)| *n != at).map(|(_, l)| l).collect();
        let outcome = Config::load_over(&without.join("\n"), &LoadOptions::default());
        let missed = match outcome {
            // A secret may be absent.
            Ok(loaded) => line.contains("_file = ") && !loaded.warnings.is_empty(),
            Err(faults) => faults.0.iter().any(|fault| fault.what == "is missing"),
        };
        assert!(missed, "nobody misses {line}");
        let above = USHER_TOML.lines().nth(at - 1).unwrap();
        assert!(above.starts_with('#'), "no comment above {line}");
    }
    assert_eq!(keys, count);
    // A key of the manual that no reader knows is refused.
    let more = format!("{USHER_TOML}\nstranger = 1\n");
    assert!(Config::load_over(&more, &LoadOptions::default()).is_err());
}
