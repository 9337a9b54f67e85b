//! Rules about the code that the compiler and Clippy do not check.

#![expect(clippy::unwrap_used, reason = "a tidiness test that cannot read the tree has failed")]

use std::fs;
use std::path::{Path, PathBuf};

const LINES_PER_FILE_MAX: usize = 500;
const LINES_OF_MAIN_MAX: usize = 40;

/// Crates that must stay pure, and all they may use.
const PURE: &[(&str, &[&str])] = &[
    ("engine/domain", &["hashbrown", "jiff", "serde", "thiserror", "unicode-segmentation", "uuid"]),
    ("gateway/protocol", &["usher-domain", "jiff", "serde", "serde_json", "thiserror"]),
];

/// Which of our crates a crate may use: dependencies point one way.
const LAYERS: &[(&str, &[&str])] = &[
    ("engine/domain", &[]),
    ("engine/store", &["usher-domain"]),
    ("gateway/protocol", &["usher-domain"]),
    ("config", &["usher-domain"]),
    ("engine/cluster", &["usher-domain"]),
    ("engine", &["usher-domain", "usher-store", "usher-protocol"]),
    ("gateway/dialog360", &[]),
    ("gateway/sandbox", &[]),
];

#[test]
fn the_rules_cannot_do_io() {
    for (directory, allowed) in PURE {
        for dependency in dependencies(directory) {
            assert!(
                allowed.contains(&dependency.as_str()),
                "{directory} must not use {dependency}"
            );
        }
    }
    for file in rust_files(&root().join("engine/domain/src")) {
        let text = fs::read_to_string(&file).unwrap();
        for banned in
            ["std::fs", "std::net", "std::thread", "SystemTime", "Instant::now", "println!"]
        {
            assert!(!text.contains(banned), "{} mentions {banned}", file.display());
        }
    }
}

#[test]
fn dependencies_point_one_way() {
    for (directory, allowed) in LAYERS {
        for dependency in dependencies(directory) {
            let ours = dependency.starts_with("usher") || dependency == "dialog360";
            assert!(
                !ours || allowed.contains(&dependency.as_str()),
                "{directory} must not use {dependency}"
            );
        }
    }
}

#[test]
fn the_engine_sees_no_frame_status_code_or_sql() {
    for file in rust_files(&root().join("engine/src")) {
        let text = fs::read_to_string(&file).unwrap();
        for banned in ["rusqlite", "actix_web", "StatusCode", "SELECT "] {
            assert!(!text.contains(banned), "{} mentions {banned}", file.display());
        }
    }
}

#[test]
fn files_fit_in_the_head() {
    for file in rust_files(&root()) {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        assert!(lines <= LINES_PER_FILE_MAX, "{} has {lines} lines", file.display());
        if file.ends_with("gateway/src/main.rs") {
            assert!(lines <= LINES_OF_MAIN_MAX, "{} has {lines} lines", file.display());
        }
    }
}

#[test]
fn metrics_that_operators_rely_on_are_declared() {
    let engine = fs::read_to_string(root().join("engine/src/metrics.rs")).unwrap();
    let gateway = fs::read_to_string(root().join("gateway/src/metrics.rs")).unwrap();
    let declared = engine + &gateway;
    for name in RELIED_ON {
        assert!(declared.contains(&format!("\"{name}\"")), "{name} is not declared");
    }
}

/// The names that dashboards and alerts are written against.
const RELIED_ON: &[&str] = &[
    "usher_webhooks_total",
    "usher_webhook_seconds",
    "usher_messages_total",
    "usher_enquiries_live",
    "usher_enquiries_total",
    "usher_routing_decisions_total",
    "usher_routing_wait_seconds",
    "usher_offer_seconds",
    "usher_push_seconds",
    "usher_queue_length",
    "usher_oldest_waiting_seconds",
    "usher_offers_total",
    "usher_auto_close_total",
    "usher_channel_up",
    "usher_channel_last_inbound_timestamp_seconds",
    "usher_staff",
    "usher_capacity_used_ratio",
    "usher_sessions",
    "usher_timer_lateness_seconds",
    "usher_journal_commit_seconds",
    "usher_journal_batch_records",
    "usher_outbound_seconds",
    "usher_outbound_pending",
    "usher_mailbox_full_total",
    "usher_actor_restarts_total",
    "usher_invariant_violations_total",
    "usher_projector_lag_seconds",
    "usher_duplicates_total",
    "usher_quarantined_total",
    "usher_feed_resumes_total",
    "usher_sessions_evicted_total",
    "usher_provider_errors_total",
    "usher_outbound_unknown_total",
    "usher_auth_failures_total",
    "usher_disk_free_bytes",
    "usher_service_level_ratio",
    "usher_build_info",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// What a crate uses outside its tests.
fn dependencies(directory: &str) -> Vec<String> {
    let manifest = root().join(directory).join("Cargo.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    let section = text.lines().skip_while(|line| *line != "[dependencies]").skip(1);
    section
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['.', '=', ' ']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") && !path.ends_with(".git") {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}
