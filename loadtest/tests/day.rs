//! A tiny day, whole: the real program, real sockets, a report at the end.

use clap::Parser;
use usher_loadtest::day;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    day: day::Args,
}

#[test]
fn a_tiny_day_is_spent_and_reported() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let dir = tempfile::tempdir().unwrap();
    let report = dir.path().join("day.html");
    let words = "day --agents 10 --visitors 50 --speed 360 --hours 10-11";
    let mut words: Vec<String> = words.split(' ').map(str::to_owned).collect();
    words.extend(["--report".to_owned(), report.display().to_string()]);
    let day = day::run(&Cli::parse_from(words).day).unwrap();
    assert_eq!(day.arrived, 50);
    assert!(day.picked_up > 0 && day.shown > 0 && day.answered > 0, "{day:?}");
    assert!(day.left_answered + day.gave_up == 50, "{day:?}");
    let page = std::fs::read_to_string(report).unwrap();
    assert!(page.contains("How visitors were shared out") && page.contains("at worst, ever"));
    for outside in ["http://", "https://", "<script", "url("] {
        let elsewhere = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!elsewhere.contains(outside), "the page needs {outside}");
    }
}
