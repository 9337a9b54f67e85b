//! All metrics of the gateway: names, units, help, and how they are shown to Prometheus.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ::metrics::{Unit, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use crate::memory;

pub const WEBHOOKS: &str = "usher_webhooks_total";
pub const WEBHOOK_SECONDS: &str = "usher_webhook_seconds";
pub const PUSH_SECONDS: &str = "usher_push_seconds";
pub const SESSIONS: &str = "usher_sessions";
pub const OUTBOUND_SECONDS: &str = "usher_outbound_seconds";
pub const BOT_CALLS: &str = "usher_bot_calls_total";
pub const BOT_SECONDS: &str = "usher_bot_seconds";
pub const PROVIDER_ERRORS: &str = "usher_provider_errors_total";
pub const AUTH_FAILURES: &str = "usher_auth_failures_total";
pub const RELAYED: &str = "usher_relayed_total";
pub const RELAY_STALE: &str = "usher_relay_stale_total";
pub const RELAY_REFUSED: &str = "usher_relay_refused_total";
pub const RELAY_SECONDS: &str = "usher_relay_seconds";
pub const RELAY_LINKS: &str = "usher_relay_links";
pub const INBOX_ROWS: &str = "usher_inbox_rows";
pub const INBOX_TAKEN: &str = "usher_inbox_taken_total";
pub const LEASE_HOLDS: &str = "usher_lease_holds_total";
pub const SERVICES_OWNED: &str = "usher_services_owned";
pub const DISK_FREE: &str = "usher_disk_free_bytes";
pub const ALLOCATED: &str = "usher_allocated_bytes";
pub const BUILD_INFO: &str = "usher_build_info";

/// How often samples are folded into their buckets; until then each takes memory.
const UPKEEP: Duration = Duration::from_secs(5);

/// Seconds; from a commit of half a millisecond to a visitor who waited for an hour.
const SECONDS: [f64; 18] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0, 300.0, 3600.0,
];
/// Things in one batch.
const AMOUNTS: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

/// Says what each metric means; call once a recorder is installed.
fn describe() {
    describe_counter!(WEBHOOKS, "Webhooks, by provider and outcome.");
    describe_histogram!(
        WEBHOOK_SECONDS,
        Unit::Seconds,
        "From the receipt of a webhook to its 200."
    );
    describe_histogram!(PUSH_SECONDS, Unit::Seconds, "From the receipt of a webhook to the frame.");
    describe_gauge!(SESSIONS, "People's sessions that stand.");
    describe_histogram!(OUTBOUND_SECONDS, Unit::Seconds, "Handing a message over, by outcome.");
    describe_counter!(BOT_CALLS, "Questions put to bots, by outcome.");
    describe_histogram!(
        BOT_SECONDS,
        Unit::Seconds,
        "From a question to a bot's last answer, tries and all."
    );
    describe_counter!(PROVIDER_ERRORS, "Calls the provider refused or lost, by class.");
    describe_counter!(AUTH_FAILURES, "Tokens, passwords and webhook secrets that were wrong.");
    describe_counter!(RELAYED, "Requests and sockets passed on to the owner, by outcome.");
    describe_counter!(RELAY_STALE, "Questions of nodes that took this one for the owner.");
    describe_counter!(RELAY_REFUSED, "Webhooks that the owner did not take, by why.");
    describe_histogram!(RELAY_SECONDS, Unit::Seconds, "Webhooks to the owner and its answer.");
    describe_gauge!(RELAY_LINKS, "Standing connections that webhooks go to owners by.");
    describe_gauge!(INBOX_ROWS, "Webhooks that wait in the database for the owner.");
    describe_counter!(INBOX_TAKEN, "Webhooks that the owner has taken in from the database.");
    describe_counter!(
        LEASE_HOLDS,
        "Times the database was asked to keep a service, since Redis did not, by outcome."
    );
    describe_gauge!(SERVICES_OWNED, "Services that are this node's, of several nodes.");
    describe_gauge!(DISK_FREE, Unit::Bytes, "Room left where the data directory is.");
    describe_gauge!(ALLOCATED, Unit::Bytes, "Allocated and not freed; of release builds alone.");
    describe_gauge!(BUILD_INFO, "1, with the version that runs.");
}

/// Installs the recorder of this process.
pub(crate) fn install() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_records".to_owned()), &AMOUNTS)?
        .install_recorder()?;
    describe();
    usher_engine::metrics::describe();
    usher_cluster::metrics::describe();
    gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(handle)
}

/// What can only be asked when somebody looks, before they are shown the rest.
#[expect(clippy::cast_precision_loss, reason = "a metric")]
pub(crate) fn look() {
    if let Some(bytes) = memory::allocated() {
        gauge!(ALLOCATED).set(bytes as f64);
    }
}

/// Folds samples into buckets and looks at the disk for as long as it is polled.
pub(crate) async fn keep_up(handle: PrometheusHandle, data_dir: PathBuf) {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        ticks.tick().await;
        handle.run_upkeep();
        gauge_disk(&data_dir);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a metric")]
fn gauge_disk(data_dir: &Path) {
    match rustix::fs::statvfs(data_dir) {
        Ok(disk) => gauge!(DISK_FREE).set((disk.f_bavail.saturating_mul(disk.f_frsize)) as f64),
        Err(error) => tracing::debug!(%error, "the disk did not say how much room it has"),
    }
}
