//! One run: client, link and server, and everything that can happen to them.

use std::collections::{BTreeSet, VecDeque};
use std::iter::Sum;

use usher_protocol::close::Close;
use usher_protocol::command::{Command, Key};
use usher_protocol::feed::{FeedClient, Incoming, Next, Pulled, Recovery};

use super::app::App;
use super::server::Server;
use crate::random::Random;
use crate::samples;

/// Bytes on their way to the client before the server has to wait.
const WINDOW: usize = 1_500;

/// One connection's frames under way.
#[derive(Debug, Default)]
struct Link {
    up: VecDeque<String>,
    down: VecDeque<String>,
}

#[derive(Debug)]
pub(super) struct World {
    random: Random,
    server: Server,
    client: FeedClient,
    app: App,
    link: Option<Link>,
    submitted: BTreeSet<Key>,
    /// Single frames are lost and doubled too, as no honest link would do.
    tampers: bool,
    /// Percent of turns in which the client reads.
    reads: u64,
    tally: Tally,
}

/// How often what happened.
#[derive(Debug, Default)]
pub(super) struct Tally {
    applied: u64,
    recovered: u64,
    snapshots: u64,
    behind: u64,
    gaps: u64,
    duplicates: u64,
    repeats: u64,
    unanswered: u64,
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), |sum, one| Self {
            applied: sum.applied + one.applied,
            recovered: sum.recovered + one.recovered,
            snapshots: sum.snapshots + one.snapshots,
            behind: sum.behind + one.behind,
            gaps: sum.gaps + one.gaps,
            duplicates: sum.duplicates + one.duplicates,
            repeats: sum.repeats + one.repeats,
            unanswered: sum.unanswered + one.unanswered,
        })
    }
}

impl Tally {
    /// A run in which nothing goes wrong proves nothing.
    pub(super) fn assert_everything_happened(&self) {
        let Self { applied, recovered, snapshots, behind, gaps, duplicates, repeats, unanswered } =
            self;
        for count in [applied, recovered, snapshots, behind, gaps, duplicates, repeats, unanswered]
        {
            assert!(*count > 500, "{self:?}");
        }
    }
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::from_seed(seed);
        let tampers = random.chance(50);
        let reads = 30 + random.below(70);
        Self {
            random,
            server: Server::new(),
            client: FeedClient::new(),
            app: App::default(),
            link: None,
            submitted: BTreeSet::new(),
            tampers,
            reads,
            tally: Tally::default(),
        }
    }

    pub(super) fn run(mut self, steps: u32) -> Tally {
        for _ in 0..steps {
            self.step();
        }
        self.settle();
        self.tally.repeats += u64::from(self.server.repeats);
        self.tally
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..14 => self.server.publish(),
            14..16 => (0..self.random.below(16)).for_each(|_| self.server.publish()),
            16..20 => self.state(),
            20..48 => self.server_writes(),
            48..72 if self.random.chance(self.reads) => {
                (0..=self.random.below(8)).for_each(|_| self.client_reads());
            }
            72..82 => self.server_reads(),
            82..85 => self.client_submits(),
            85..87 => self.command_doubles(),
            87..89 if self.tampers => self.tamper(),
            89 => self.cut(),
            90 if self.random.chance(30) => self.restart(),
            48..72 | 87..91 => {}
            _ => self.connect(),
        }
    }

    fn connect(&mut self) {
        if self.link.is_none() {
            let hello = self.client.hello(None);
            self.link = Some(Link { up: VecDeque::from([hello]), down: VecDeque::new() });
        }
    }

    fn state(&mut self) {
        let waiting = self.server.waiting + 1;
        self.server.state(waiting).expect("statements of one key are merged");
    }

    fn server_writes(&mut self) {
        let (Some(link), Some(outlet)) = (&mut self.link, &mut self.server.outlet) else { return };
        let under_way: usize = link.down.iter().map(String::len).sum();
        if under_way >= WINDOW {
            return;
        }
        let bytes = self.random.index(800);
        match outlet.pull(&self.server.feed, bytes) {
            Pulled::Frames(frames) => {
                let total: usize = frames.iter().map(String::len).sum();
                assert!(frames.len() == 1 || total <= bytes, "{total} of {bytes}");
                link.down.extend(frames);
            }
            Pulled::Idle => {}
            Pulled::Behind => {
                self.tally.behind += 1;
                self.end(Some(Close::Behind));
            }
        }
    }

    fn server_reads(&mut self) {
        let Some(text) = self.link.as_mut().and_then(|link| link.up.pop_front()) else { return };
        match self.server.take(&text, &mut self.random).expect("answers fit") {
            Some(Recovery::Recovered(_)) => self.tally.recovered += 1,
            Some(Recovery::Snapshot(_)) | None => {}
        }
    }

    fn client_reads(&mut self) {
        let Some(text) = self.link.as_mut().and_then(|link| link.down.pop_front()) else { return };
        match self.client.receive(&text) {
            Incoming::Welcome { repeat, unanswered, .. } => {
                self.tally.unanswered += unanswered.len() as u64;
                self.link.as_mut().expect("it was read from").up.extend(repeat);
            }
            Incoming::Snapshot { heads, .. } => {
                self.tally.snapshots += 1;
                self.app.replace(&heads);
                self.check();
            }
            Incoming::Apply(event) => {
                self.tally.applied += 1;
                self.app.apply(&event);
                self.check();
            }
            Incoming::Duplicate { .. } => self.tally.duplicates += 1,
            Incoming::Reconnect { .. } => {
                assert!(self.tampers, "only a link that is not honest loses single frames: {text}");
                self.tally.gaps += 1;
                self.end(None);
            }
            Incoming::Now(state) => self.app.state(&state),
            Incoming::Answer { outcome, .. } => assert!(outcome.is_ok()),
            Incoming::Bye(_) | Incoming::Nothing => {}
        }
    }

    /// The client knows what the server had pushed up to this number: no more, no less.
    fn check(&self) {
        let applied = self.client.applied().expect("something was applied");
        let truth = self.server.truth.get(&(applied.epoch.clone(), applied.offset));
        assert_eq!(truth, Some(&self.app.digest), "at {applied:?}");
    }

    fn client_submits(&mut self) {
        let number = self.submitted.len();
        let key = samples::key(&format!("k-{number}"));
        let keyed = self.random.chance(70);
        let command = if keyed {
            let content = samples::text("x");
            Command::Send { enquiry: samples::ENQUIRY, key: key.clone(), content, reply_to: None }
        } else {
            Command::Typing { enquiry: samples::ENQUIRY }
        };
        match self.client.submit(command) {
            Ok(submitted) => {
                if keyed {
                    self.submitted.insert(key);
                }
                if let Some(link) = &mut self.link {
                    link.up.extend(submitted.frame);
                }
            }
            Err(offline) => assert!(!keyed, "{offline}"),
        }
    }

    fn command_doubles(&mut self) {
        let Some(link) = &mut self.link else { return };
        if let Some(last) = link.up.back().filter(|text| !text.contains("hello")) {
            let again = last.clone();
            link.up.push_back(again);
        }
    }

    fn tamper(&mut self) {
        let Some(link) = self.link.as_mut().filter(|link| !link.down.is_empty()) else { return };
        let at = self.random.index(link.down.len());
        if self.random.chance(50) {
            link.down.remove(at);
        } else {
            let again = link.down[at].clone();
            link.down.insert(at, again);
        }
    }

    /// The connection is lost at some byte: what was whole before it still arrives.
    fn cut(&mut self) {
        let Some(link) = &mut self.link else { return };
        cut_after(&mut link.up, &mut self.random);
        cut_after(&mut link.down, &mut self.random);
        let (up, down) = (link.up.len(), link.down.len());
        (0..up).for_each(|_| self.server_reads());
        (0..down).for_each(|_| self.client_reads());
        if self.link.is_some() {
            self.end(None);
        }
    }

    fn restart(&mut self) {
        self.server.restart();
        if self.link.is_some() {
            self.end(Some(Close::Rebuilt));
        }
    }

    /// Both ends learn that the connection is over.
    fn end(&mut self, close: Option<Close>) {
        self.link = None;
        self.server.outlet = None;
        let next = self.client.closed(close.map(Close::number), "");
        assert!(matches!(next, Next::ReconnectNow | Next::ReconnectLater(_)), "{next:?}");
    }

    /// With an honest link everything comes to rest, and nothing is left over.
    fn settle(&mut self) {
        self.tampers = false;
        if self.link.is_some() {
            self.end(None);
        }
        self.connect();
        for _ in 0..2_000 {
            self.server_reads();
            self.server_writes();
            self.client_reads();
            self.connect();
        }
        let link = self.link.as_ref().expect("connected");
        assert!(link.up.is_empty() && link.down.is_empty(), "{link:?}");
        let applied = self.client.applied().expect("something was applied");
        assert!(self.client.is_live());
        let feed = &self.server.feed;
        assert_eq!((&applied.epoch, applied.offset), (feed.epoch(), feed.offset()));
        assert_eq!(self.client.pending(), 0);
        assert_eq!(self.app.waiting, Some(self.server.waiting));
        let once: Vec<_> = self.submitted.iter().map(|key| (key.clone(), 1)).collect();
        assert_eq!(self.server.executed.clone().into_iter().collect::<Vec<_>>(), once);
        self.check();
    }
}

fn cut_after(frames: &mut VecDeque<String>, random: &mut Random) {
    let total: usize = frames.iter().map(String::len).sum();
    let mut left = random.index(total + 1);
    let whole = frames.iter().take_while(|frame| {
        let fits = frame.len() <= left;
        left = left.saturating_sub(frame.len());
        fits
    });
    let whole = whole.count();
    frames.truncate(whole);
}
