//! The lease of one service as one node sees it.

use std::time::Duration;

use super::{Answer, Ask, Command, Effect, Refusal, Terms, Why};
use crate::ownership::Epoch;
use crate::time::Timestamp;

/// See the table of [`super`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lease {
    terms: Terms,
    wanted: bool,
    /// So many others come before this node.
    rank: usize,
    /// The last question put.
    asked: Ask,
    state: State,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Asks at the latest at `ask_at`, and whatever happens no sooner than that.
    StandingBy {
        ask_at: Timestamp,
        no_sooner: Timestamp,
    },
    Acquiring {
        ask: Ask,
        sent: Timestamp,
    },
    Claiming(Tenure),
    Owning(Tenure),
    HandingOver(Tenure),
    Stopping,
}

/// A lease that is had.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Tenure {
    epoch: Epoch,
    /// Nobody acts under it from then on.
    until: Timestamp,
    by: By,
    renewal: Renewal,
}

/// What keeps others away meanwhile.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum By {
    Redis,
    /// Which is asked again `at`.
    Store {
        at: Timestamp,
    },
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Renewal {
    Due { at: Timestamp },
    Asked { ask: Ask, sent: Timestamp, what: Question },
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Question {
    Renew,
    Hold,
    Reassert,
}

impl Tenure {
    /// When there was no answer, or it is time again.
    fn next_question(self, now: Timestamp) -> Question {
        match (self.by, self.renewal) {
            (By::Redis, Renewal::Asked { what: Question::Renew, .. }) => Question::Hold,
            (By::Redis, _) => Question::Renew,
            (By::Store { at }, _) if at <= now => Question::Hold,
            (By::Store { .. }, _) => Question::Reassert,
        }
    }
}

/// What is seen of it from outside.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stage {
    StandingBy,
    Acquiring,
    Claiming { epoch: Epoch, until: Timestamp },
    Owning { epoch: Epoch, until: Timestamp },
    HandingOver { epoch: Epoch, until: Timestamp },
    Stopping,
}

impl Lease {
    /// Stands by, and asks for nothing before it is told to.
    pub fn new(now: Timestamp, terms: Terms) -> Self {
        let state = State::StandingBy { ask_at: now, no_sooner: now };
        Self { terms, wanted: false, rank: 0, asked: Ask(0), state }
    }

    pub const fn stage(&self) -> Stage {
        match self.state {
            State::StandingBy { .. } => Stage::StandingBy,
            State::Acquiring { .. } => Stage::Acquiring,
            State::Claiming(Tenure { epoch, until, .. }) => Stage::Claiming { epoch, until },
            State::Owning(Tenure { epoch, until, .. }) => Stage::Owning { epoch, until },
            State::HandingOver(Tenure { epoch, until, .. }) => Stage::HandingOver { epoch, until },
            State::Stopping => Stage::Stopping,
        }
    }

    /// Whether the store keeps others away, since Redis does not say that it does.
    pub const fn is_held(&self) -> bool {
        matches!(
            self.state,
            State::Owning(Tenure { by: By::Store { .. }, .. })
                | State::HandingOver(Tenure { by: By::Store { .. }, .. })
        )
    }

    /// The epoch to act under, if this node may.
    pub fn acts(&self, now: Timestamp) -> Option<Epoch> {
        match self.state {
            State::Owning(tenure) | State::HandingOver(tenure) => {
                (now < tenure.until).then_some(tenure.epoch)
            }
            State::StandingBy { .. }
            | State::Acquiring { .. }
            | State::Claiming(_)
            | State::Stopping => None,
        }
    }

    /// When [`expire`](Self::expire) next has work to do.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        match self.state {
            State::StandingBy { ask_at, .. } => self.wanted.then_some(ask_at),
            State::Acquiring { sent, .. } => Some(sent + self.terms.patience()),
            // Not renewed before it is claimed: a claim that is never answered ends with the lease.
            State::Claiming(tenure) => Some(tenure.until),
            State::Owning(tenure) | State::HandingOver(tenure) => {
                Some(tenure.until.min(self.renewal_due(tenure)))
            }
            State::Stopping => None,
        }
    }

    fn renewal_due(&self, tenure: Tenure) -> Timestamp {
        let due = match tenure.renewal {
            Renewal::Due { at } => at,
            Renewal::Asked { sent, .. } => sent + self.terms.patience(),
        };
        match tenure.by {
            By::Redis => due,
            // Whether Redis is back is not worth the hold.
            By::Store { at } => due.min(at),
        }
    }

    /// Asks when it is time to, again where no answer came, and lets go of what is over.
    pub fn expire(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        while self.next_deadline().is_some_and(|due| due <= now) {
            match self.state {
                State::StandingBy { .. } => {
                    let ask = self.next_ask();
                    self.state = State::Acquiring { ask, sent: now };
                    effects.push(Effect::Acquire { ask });
                }
                State::Acquiring { .. } => self.look_again(now, self.terms.pause(), self.rank == 0),
                State::Claiming(_) => self.stand_by(now + self.terms.pause()),
                State::Owning(tenure) | State::HandingOver(tenure) => {
                    if tenure.until <= now {
                        self.let_go(Why::Over, effects);
                    } else {
                        self.ask(now, tenure, tenure.next_question(now), effects);
                    }
                }
                State::Stopping => {}
            }
        }
    }

    /// First lets due deadlines expire, then judges; a refusal changes nothing beyond that.
    pub fn apply(
        &mut self,
        now: Timestamp,
        command: Command,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        self.expire(now, effects);
        match (self.state, command) {
            (_, Command::Want { rank }) => self.want(now, rank),
            (State::StandingBy { ask_at, no_sooner }, Command::Doubt) => {
                self.state = State::StandingBy { ask_at: ask_at.min(no_sooner), no_sooner };
            }
            (_, Command::Doubt) => {}
            (state, Command::GiveUp) => {
                self.wanted = false;
                self.give_up(now, state, effects);
            }
            (State::Acquiring { ask: awaited, sent }, Command::Hear { ask, answer })
                if ask == awaited =>
            {
                self.hear_acquired(now, sent, answer, effects);
            }
            (State::Owning(tenure) | State::HandingOver(tenure), Command::Hear { ask, answer }) => {
                return self.hear_renewed(now, tenure, (ask, answer), effects);
            }
            (State::Claiming(tenure), Command::Claimed { epoch }) if tenure.epoch == epoch => {
                self.state = State::Owning(tenure);
                effects.push(Effect::Start { epoch });
            }
            (State::Claiming(tenure), Command::NotClaimed { epoch }) if tenure.epoch == epoch => {
                self.stand_by(now + self.terms.pause());
            }
            (State::Owning(tenure) | State::HandingOver(tenure), Command::Superseded { epoch })
                if tenure.epoch == epoch =>
            {
                self.let_go(Why::Superseded, effects);
            }
            (State::HandingOver(tenure), Command::Stopped) => {
                effects.push(Effect::Release { epoch: tenure.epoch });
                // The next one comes first.
                self.stand_by(now + self.terms.lease());
            }
            // What ran has ended by itself; with the lease still there it begins anew.
            (State::Owning(Tenure { epoch, .. }), Command::Stopped) => {
                effects.push(Effect::Release { epoch });
                self.stand_by(now + self.terms.pause());
            }
            (State::Stopping, Command::Stopped) => self.stand_by(now),
            (
                _,
                Command::Hear { .. }
                | Command::Claimed { .. }
                | Command::NotClaimed { .. }
                | Command::Superseded { .. }
                | Command::Stopped,
            ) => return Err(Refusal::Stale),
        }
        self.expire(now, effects);
        Ok(())
    }

    fn want(&mut self, now: Timestamp, rank: usize) {
        let turn = now + self.terms.stagger(rank);
        if let State::StandingBy { ask_at, no_sooner } = self.state {
            if !self.wanted {
                self.stand_by(ask_at.max(turn));
            } else if rank < self.rank {
                // Those before it have gone.
                let ask_at = ask_at.min(turn.max(no_sooner));
                self.state = State::StandingBy { ask_at, no_sooner };
            }
        }
        (self.wanted, self.rank) = (true, rank);
    }

    fn give_up(&mut self, now: Timestamp, state: State, effects: &mut Vec<Effect>) {
        match state {
            State::StandingBy { .. } | State::HandingOver(_) | State::Stopping => {}
            // What Redis grants after this nobody renews.
            State::Acquiring { .. } | State::Claiming(_) => self.stand_by(now),
            State::Owning(tenure) => {
                self.state = State::HandingOver(tenure);
                effects.push(Effect::Drain);
            }
        }
    }

    fn hear_acquired(
        &mut self,
        now: Timestamp,
        sent: Timestamp,
        answer: Answer,
        effects: &mut Vec<Effect>,
    ) {
        match answer {
            Answer::Acquired { epoch, over } => {
                let renewal = Renewal::Due { at: sent + self.terms.renew_every() };
                let until = sent + self.terms.hold();
                self.state = State::Claiming(Tenure { epoch, until, by: By::Redis, renewal });
                effects.push(Effect::Claim { epoch, over });
            }
            Answer::Held { left } => {
                let closely = self.rank == 0 || left < self.terms.seems_left();
                self.look_again(now, self.terms.soon(self.rank, left), closely);
            }
            Answer::Renewed
            | Answer::Missing
            | Answer::Holding
            | Answer::Superseded
            | Answer::Failed => self.look_again(now, self.terms.pause(), self.rank == 0),
        }
    }

    /// After it was asked for in vain: `soon`, or only as often as is this node's to look.
    fn look_again(&mut self, now: Timestamp, soon: Duration, closely: bool) {
        let no_sooner = now + soon;
        let seldom = now + self.terms.look_every(self.rank);
        let ask_at = if closely { no_sooner } else { no_sooner.max(seldom) };
        self.state = State::StandingBy { ask_at, no_sooner };
    }

    fn hear_renewed(
        &mut self,
        now: Timestamp,
        tenure: Tenure,
        (ask, answer): (Ask, Answer),
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let Renewal::Asked { ask: awaited, sent, what } = tenure.renewal else {
            return Err(Refusal::Stale);
        };
        if ask != awaited {
            return Err(Refusal::Stale);
        }
        let again = now + self.terms.pause();
        match (what, answer) {
            (Question::Renew | Question::Reassert, Answer::Renewed) => {
                let renewal = Renewal::Due { at: sent + self.terms.renew_every() };
                let until = sent + self.terms.hold();
                self.go_on(Tenure { until, by: By::Redis, renewal, ..tenure });
            }
            (Question::Hold, Answer::Holding) => self.held(now, tenure, sent, effects),
            (Question::Hold, Answer::Superseded) => self.let_go(Why::Superseded, effects),
            (Question::Renew, _) => self.ask(now, tenure, Question::Hold, effects),
            (Question::Reassert, _) => {
                let renewal = Renewal::Due { at: now + self.terms.ask_every() };
                self.go_on(Tenure { renewal, ..tenure });
            }
            (Question::Hold, _) => {
                let by = match tenure.by {
                    By::Redis => By::Redis,
                    By::Store { .. } => By::Store { at: again },
                };
                self.go_on(Tenure { by, renewal: Renewal::Due { at: again }, ..tenure });
            }
        }
        Ok(())
    }

    /// By the store, as was asked for at `sent`; Redis is told as soon as it hears.
    fn held(&mut self, now: Timestamp, tenure: Tenure, sent: Timestamp, effects: &mut Vec<Effect>) {
        let by = By::Store { at: sent + self.terms.renew_every() };
        let renewal = Renewal::Due { at: sent + self.terms.ask_every() };
        let held = Tenure { until: sent + self.terms.hold(), by, renewal, ..tenure };
        match tenure.by {
            By::Redis => self.ask(now, held, Question::Reassert, effects),
            By::Store { .. } => self.go_on(held),
        }
    }

    fn ask(&mut self, now: Timestamp, tenure: Tenure, what: Question, effects: &mut Vec<Effect>) {
        let (ask, epoch) = (self.next_ask(), tenure.epoch);
        effects.push(match what {
            Question::Renew => Effect::Renew { ask, epoch },
            Question::Hold => Effect::Hold { ask, epoch },
            Question::Reassert => Effect::Reassert { ask, epoch },
        });
        let by = match (tenure.by, what) {
            (By::Store { .. }, Question::Hold) => By::Store { at: now + self.terms.patience() },
            (by, Question::Renew | Question::Hold | Question::Reassert) => by,
        };
        self.go_on(Tenure { by, renewal: Renewal::Asked { ask, sent: now, what }, ..tenure });
    }

    /// Owning or handing over as before.
    fn go_on(&mut self, tenure: Tenure) {
        self.state = match self.state {
            State::HandingOver(_) => State::HandingOver(tenure),
            State::StandingBy { .. }
            | State::Acquiring { .. }
            | State::Claiming(_)
            | State::Owning(_)
            | State::Stopping => State::Owning(tenure),
        };
    }

    fn let_go(&mut self, why: Why, effects: &mut Vec<Effect>) {
        self.state = State::Stopping;
        effects.push(Effect::Stop { why });
    }

    const fn stand_by(&mut self, ask_at: Timestamp) {
        self.state = State::StandingBy { ask_at, no_sooner: ask_at };
    }

    const fn next_ask(&mut self) -> Ask {
        self.asked = Ask(self.asked.0 + 1);
        self.asked
    }
}
