//! On what it was measured: a figure without it says nothing.

use std::fs;
use std::process::Command;

/// Cores, kernel, commit and date, as the head of a report.
pub fn header() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = first_line("/proc/sys/kernel/osrelease");
    let model = cpu_model();
    let load = first_line("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default().to_owned();
    let commit = commit();
    let date = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC");
    format!(
        "{date} · commit {commit} · {cores} cores ({model}), shared by server, load generator and \
         whatever else runs (load {load} at the start) · Linux {kernel}"
    )
}

fn first_line(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").to_owned()
}

fn cpu_model() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    model.map_or("unknown", |model| model.trim_start_matches([' ', '\t', ':'])).to_owned()
}

fn commit() -> String {
    // That of the sources, wherever it is started.
    let git = ["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"];
    let told = Command::new("git").args(git).output();
    let told = told.ok().and_then(|output| String::from_utf8(output.stdout).ok());
    let told = told.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    told.unwrap_or_else(|| "unknown".to_owned())
}
