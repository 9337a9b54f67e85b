//! What a process has used, as the kernel tells it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

/// A running process, by its id.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    pid: u32,
}

/// Bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Pages in memory, those of files included.
    pub resident: u64,
    /// Pages that are no file's: heap and stacks.
    pub anonymous: u64,
}

impl Process {
    pub const fn of(pid: u32) -> Self {
        Self { pid }
    }

    pub const fn pid(self) -> u32 {
        self.pid
    }

    /// Time on a core by thread name, in nanoseconds exact; threads of one name together, and
    /// numbers at their end left out.
    pub fn threads(self) -> anyhow::Result<BTreeMap<String, Duration>> {
        let mut threads = BTreeMap::new();
        for (task, name) in self.tasks()? {
            // It may have ended since.
            let Ok(told) = fs::read_to_string(task.join("schedstat")) else { continue };
            let on_core = told.split(' ').next().and_then(|nanos| nanos.parse().ok());
            let name = name.trim_end_matches(|c: char| c.is_ascii_digit() || "-_:".contains(c));
            *threads.entry(name.to_owned()).or_default() +=
                Duration::from_nanos(on_core.unwrap_or_default());
        }
        Ok(threads)
    }

    /// Each thread's directory and name.
    fn tasks(self) -> anyhow::Result<Vec<(PathBuf, String)>> {
        let tasks = self.path("task");
        let tasks = fs::read_dir(&tasks).with_context(|| tasks.display().to_string())?;
        let mut found = Vec::new();
        for task in tasks {
            let path = task?.path();
            if let Ok(name) = fs::read_to_string(path.join("comm")) {
                found.push((path, name.trim().to_owned()));
            }
        }
        Ok(found)
    }

    /// Time on a core, of all threads.
    pub fn cpu(self) -> anyhow::Result<Duration> {
        Ok(self.threads()?.values().sum())
    }

    pub fn memory(self) -> anyhow::Result<Memory> {
        let status = self.read("status")?;
        let kib = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()
        };
        let resident = kib("VmRSS:").context("no VmRSS")? * 1024;
        Ok(Memory { resident, anonymous: kib("RssAnon:").context("no RssAnon")? * 1024 })
    }

    pub fn descriptors(self) -> anyhow::Result<usize> {
        Ok(fs::read_dir(self.path("fd"))?.count())
    }

    /// Written to files, and how often it asked to write, since it started.
    pub fn written(self) -> anyhow::Result<(u64, u64)> {
        let io = self.read("io")?;
        let of = |key: &str| {
            let line = io.lines().find_map(|line| line.strip_prefix(key));
            line.and_then(|number| number.trim().parse::<u64>().ok()).context("no such count")
        };
        Ok((of("wchar:")?, of("syscw:")?))
    }

    /// The first process it has started.
    pub fn child(self) -> Option<Self> {
        self.children().into_iter().next()
    }

    /// Those it has started that have not ended.
    pub fn children(self) -> Vec<Self> {
        let children = self.read(&format!("task/{}/children", self.pid)).unwrap_or_default();
        children.split_whitespace().filter_map(|pid| pid.parse().ok().map(Self::of)).collect()
    }

    /// `SIGUSR2`: for a library that was put before the others.
    pub fn ask(self) -> anyhow::Result<()> {
        self.tell(Signal::USR2)
    }

    /// Stands still until [`thaw`](Self::thaw): its background work must not fall on others.
    pub fn freeze(self) -> anyhow::Result<()> {
        self.tell(Signal::STOP)
    }

    pub fn thaw(self) -> anyhow::Result<()> {
        self.tell(Signal::CONT)
    }

    pub fn kill(self) -> anyhow::Result<()> {
        self.tell(Signal::KILL)
    }

    pub fn terminate(self) -> anyhow::Result<()> {
        self.tell(Signal::TERM)
    }

    fn tell(self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).context("no such id")?;
        kill_process(pid, signal).context("the process could not be told")
    }

    /// Lets threads of this name run only where nothing else wants to.
    pub fn only_when_idle(self, name: &str) -> anyhow::Result<()> {
        for (task, _) in self.tasks()?.into_iter().filter(|(_, known)| known.starts_with(name)) {
            let id = task.file_name().unwrap_or_default();
            let done = std::process::Command::new("chrt")
                .args(["--idle", "--pid", "0"])
                .arg(id)
                .status()
                .context("chrt")?;
            anyhow::ensure!(done.success(), "chrt could not let {name} wait");
        }
        Ok(())
    }

    fn path(self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.pid))
    }

    fn read(self, file: &str) -> anyhow::Result<String> {
        let path = self.path(file);
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_shows_as_time_on_a_core_of_the_thread_that_did_it() {
        let me = Process::of(std::process::id());
        let (told, asked) = std::sync::mpsc::channel::<()>();
        let (done, worked) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new().name("worker-7".to_owned()).spawn(move || {
            let mut sum = 0_u64;
            for number in 0..20_000_000_u64 {
                sum = std::hint::black_box(sum.wrapping_add(number));
            }
            done.send(sum).unwrap();
            // Stays until it was looked at.
            asked.recv().unwrap_err();
        });
        worked.recv().unwrap();
        let threads = me.threads().unwrap();
        assert!(threads["worker"] > Duration::from_millis(1), "{threads:?}");
        assert!(me.cpu().unwrap() >= threads["worker"]);
        drop(told);
        thread.unwrap().join().unwrap();
    }

    #[test]
    fn memory_grows_by_what_is_touched() {
        let me = Process::of(std::process::id());
        let before = me.memory().unwrap();
        let block = std::hint::black_box(vec![1_u8; 64 << 20]);
        let after = me.memory().unwrap();
        assert!(after.anonymous >= before.anonymous + (48 << 20), "{before:?} {after:?}");
        // The program itself is pages of a file.
        assert!(after.resident > after.anonymous, "{after:?}");
        drop(block);
    }
}
