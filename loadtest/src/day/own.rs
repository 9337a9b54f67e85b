//! An Usher of the day's own: generated settings, a sandbox beside it, both gone afterwards.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use reqwest::Client;
use tempfile::TempDir;
use tokio::time::sleep;
use usher_sandbox::{NumberOptions, ReceiptsOptions, Sandbox, SandboxHandle, SandboxOptions};

use super::settings::{self, Business, CHANNELS, PASSWORD, WEBHOOK_SECRET};
use super::{After, Args, World, draws, sign_in};
use crate::house::free_port;
use crate::measure::Process;

const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Debug)]
pub(super) struct Own {
    port: u16,
    metrics: u16,
    agents: usize,
    business: Business,
    sandbox: SandboxHandle,
    running: Running,
    dir: TempDir,
    began: Instant,
}

/// Ends with its owner.
#[derive(Debug)]
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Own {
    pub(super) async fn open(args: &Args) -> anyhow::Result<Self> {
        let (port, metrics) = (free_port()?, free_port()?);
        #[expect(clippy::cast_possible_truncation, reason = "minutes of a day")]
        let half = ((args.hours.to - args.hours.from) * 30.0 / args.speed).round() as i64;
        let business = Business { agents: args.agents, speed: args.speed, half };
        let pace = pace(args.speed);
        let options = SandboxOptions {
            numbers: (0..CHANNELS.len()).map(|place| number(place, port, pace)).collect(),
            receipts: ReceiptsOptions::default(),
            time_scale: (1.0 / args.speed).min(1.0),
            ..SandboxOptions::default()
        };
        let sandbox = Sandbox::start(options)?;
        let dir = args.binary.scratch()?;
        write(&dir, "service.toml", &business.text())?;
        write(&dir, "webhook-secret", WEBHOOK_SECRET)?;
        for place in 0..CHANNELS.len() {
            write(&dir, &settings::api_key(place), &settings::api_key(place))?;
        }
        let provider = sandbox.base_url();
        let node = format!(
            "data_dir = \"data\"\n[http]\nbind = \"127.0.0.1:{port}\"\n\
             [metrics]\nbind = \"127.0.0.1:{metrics}\"\n\
             [limits]\ncommands_per_second = 1000\ncommands_burst = 1000\n\
             [provider]\nbase_url = \"{provider}\"\nmessages_per_second = {pace}\n\
             [log]\nformat = \"human\"\nlevel = \"warn\"\n[services]\nfiles = [\"service.toml\"]\n"
        );
        write(&dir, "usher.toml", &node)?;
        let log = fs::File::create(dir.path().join("log"))?;
        let child = Command::new(args.binary.path()?)
            .arg("--config")
            .arg(dir.path().join("usher.toml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("usher could not be started")?;
        let (running, began) = (Running(child), Instant::now());
        let agents = args.agents;
        let own = Self { port, metrics, agents, business, sandbox, running, dir, began };
        own.until_ready().await?;
        Ok(own)
    }

    async fn until_ready(&self) -> anyhow::Result<()> {
        let ready = format!("http://127.0.0.1:{}/readyz", self.port);
        while self.began.elapsed() < PATIENCE {
            if reqwest::get(&ready).await.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            sleep(Duration::from_millis(20)).await;
        }
        bail!("usher does not come up:\n{}", self.log())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    pub(super) fn world(&self) -> World {
        let channels = (0..CHANNELS.len())
            .map(|place| (settings::phone_number_id(place), CHANNELS[place].1))
            .collect();
        World {
            url: format!("http://127.0.0.1:{}", self.port),
            sandbox: self.sandbox.base_url(),
            accounts: (0..self.agents)
                .map(|agent| (settings::email(agent), PASSWORD.to_owned()))
                .collect(),
            channels,
            groups: settings::groups().map(settings::group).collect(),
        }
    }

    pub(super) async fn after(&self) -> anyhow::Result<After> {
        // Before the many questions that follow: they are no part of the day.
        let figures = self.figures().await;
        let http = Client::new();
        let world = self.world();
        let ada = (settings::ADMINISTRATOR.to_owned(), PASSWORD.to_owned());
        let tokens = sign_in(&http, &World { accounts: vec![ada], ..world.clone() }).await?;
        let token = tokens.first().context("nobody signed in")?;
        let sales = settings::channel("sales").to_string();
        let draws = draws::ask(&http, &world.url, token, &sales).await?;
        Ok(After { figures, shares: draws::shares(&draws) })
    }

    /// What the program says of itself, and what it used.
    async fn figures(&self) -> Vec<(String, String)> {
        let mut figures = Vec::new();
        let process = Process::of(self.running.0.id());
        let ran = self.began.elapsed();
        if let (Ok(cpu), Ok(memory)) = (process.cpu(), process.memory()) {
            let share = cpu.as_secs_f64() / ran.as_secs_f64() * 100.0;
            figures.push((
                "Processor".to_owned(),
                format!("{:.1} s, {share:.0} % of one core", cpu.as_secs_f64()),
            ));
            figures.push((
                "Memory".to_owned(),
                format!("{:.0} MiB", memory.resident as f64 / 1_048_576.0),
            ));
        }
        let address = format!("http://127.0.0.1:{}/metrics", self.metrics);
        let text = match reqwest::get(address).await {
            Ok(answer) => answer.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        };
        for (name, words) in WATCHED {
            figures.push((words.to_owned(), format!("{:.0}", sum(&text, name))));
        }
        let complaints = self
            .log()
            .lines()
            .filter(|line| line.contains("WARN") || line.contains("ERROR"))
            .count();
        figures.push(("Warnings and errors in the log".to_owned(), complaints.to_string()));
        for (name, day) in self.business.too_slow() {
            let minutes = day / 60.0;
            figures.push((
                format!("At this speed the {name} is"),
                format!("{minutes:.0} min of the day"),
            ));
        }
        figures
    }

    pub(super) async fn close(self) {
        drop(self.running);
        self.sandbox.stop().await;
    }
}

/// What should be 0, in words.
const WATCHED: [(&str, &str); 5] = [
    ("usher_invariant_violations_total", "Invariants broken"),
    ("usher_actor_restarts_total", "Restarts of the service"),
    ("usher_sessions_evicted_total", "Connections let go for reading slowly"),
    ("usher_outbound_unknown_total", "Sends of unknown outcome"),
    ("usher_quarantined_total", "Updates quarantined"),
];

fn sum(metrics: &str, name: &str) -> f64 {
    let of_name =
        |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
    let values = metrics.lines().filter(of_name).filter_map(|line| line.rsplit(' ').next());
    // A sum of nothing would be -0.
    values.filter_map(|value| value.parse::<f64>().ok()).fold(0.0, |sum, value| sum + value)
}

/// The provider's 80 messages a second, as fast as the day.
fn pace(speed: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 1000")]
    let pace = (80.0 * speed).clamp(1.0, 1000.0) as u32;
    pace
}

fn number(place: usize, port: u16, pace: u32) -> NumberOptions {
    let (id, key) = (settings::phone_number_id(place), settings::api_key(place));
    let mut number = NumberOptions::new(&id, &format!("+1 555 02{place:02}"), "200100200400", &key);
    let channel = settings::channel(CHANNELS[place].0);
    number.webhook_url = Some(format!("http://127.0.0.1:{port}/hooks/360dialog/{channel}"));
    number.webhook_headers = vec![("x-usher-secret".to_owned(), WEBHOOK_SECRET.to_owned())];
    number.mps = pace;
    number
}

fn write(dir: &TempDir, name: &str, text: &str) -> anyhow::Result<()> {
    let path = dir.path().join(name);
    fs::write(&path, text).with_context(|| path.display().to_string())?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels_and_not_over_other_names() {
        let text = "a_total{x=\"1\"} 2\na_total{x=\"2\"} 3\na_total_more 7\n";
        assert!((sum(text, "a_total") - 5.0).abs() < 1e-9);
    }
}
