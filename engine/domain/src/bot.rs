//! A talk with a bot: which of the visitor's messages it is asked about, and when it ends.
//!
//! | state | the visitor writes | an answer comes | time is up |
//! |---|---|---|---|
//! | Listening | Asked | – | – |
//! | Asked | waits (the oldest goes when too many do) | the next is asked, else Listening; or Leaving | Leaving |
//! | Leaving | – | refused | – |
//!
//! Leaving is told to the floor, which ends the talk; a restart tells it again.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::ids::{BotCallId, BotId, MessageId};
use crate::time::Timestamp;

/// Most messages that wait while one is asked about; older ones are seen among the last messages.
pub const WAITING_MAX: usize = 20;
/// A call without an outcome: the door gives up after 30 s, so that something else broke.
pub const PATIENCE: Duration = Duration::from_secs(45);

/// One message that the bot is asked about, and the id of that call.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Question {
    pub call: BotCallId,
    pub message: MessageId,
}

/// How a bot lets go of an enquiry.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Leave {
    /// It, or the visitor, wants a person.
    HandOver,
    /// It did not answer, or not understandably.
    Failed,
    Close,
}

/// What outlives a restart.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct TalkKept {
    pub bot: BotId,
    pub state: State,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    Listening,
    Asked {
        question: Question,
        since: Timestamp,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        waiting: Vec<Question>,
    },
    Leaving {
        how: Leave,
    },
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Command {
    /// `wants_out`: with one of the bot's hand-over words.
    VisitorWrote { question: Question, wants_out: bool },
    /// What came of a call; `leave`: the last thing it did.
    Answered { call: BotCallId, leave: Option<Leave> },
    /// The bot spoke without being asked.
    Spoke { leave: Option<Leave> },
    /// Usher has started again.
    Recovered,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Effect {
    /// Call the bot, under this id however often it is tried.
    Ask(Question),
    /// Tell the floor.
    Leave(Leave),
}

/// Why a command changed nothing.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Refusal {
    #[error("no answer to that call is awaited")]
    NotAsked,
    #[error("the bot has let go already")]
    Leaving,
}

/// From the moment a bot takes an enquiry until the floor says that it left.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Talk {
    kept: TalkKept,
}

impl Talk {
    pub const fn new(bot: BotId) -> Self {
        Self { kept: TalkKept { bot, state: State::Listening } }
    }

    /// As it was kept; [`Command::Recovered`] must come first.
    pub const fn restore(kept: TalkKept) -> Self {
        Self { kept }
    }

    pub const fn kept(&self) -> &TalkKept {
        &self.kept
    }

    pub const fn bot(&self) -> BotId {
        self.kept.bot
    }

    pub fn next_deadline(&self) -> Option<Timestamp> {
        match self.kept.state {
            State::Asked { since, .. } => Some(since + PATIENCE),
            State::Listening | State::Leaving { .. } => None,
        }
    }

    pub fn expire(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        if self.next_deadline().is_some_and(|at| at <= now) {
            self.leave(Leave::Failed, effects);
        }
    }

    /// First lets what is due expire, then judges; a refusal changes nothing beyond that.
    pub fn apply(
        &mut self,
        now: Timestamp,
        command: Command,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        match command {
            Command::Recovered => self.recover(now, effects),
            Command::VisitorWrote { question, wants_out } => {
                self.expire(now, effects);
                self.visitor_wrote(now, question, wants_out, effects);
            }
            Command::Answered { call, leave } => {
                self.expire(now, effects);
                return self.answered(now, call, leave, effects);
            }
            Command::Spoke { leave } => {
                self.expire(now, effects);
                if let State::Leaving { .. } = self.kept.state {
                    return Err(Refusal::Leaving);
                }
                if let Some(how) = leave {
                    self.leave(how, effects);
                }
            }
        }
        Ok(())
    }

    fn visitor_wrote(
        &mut self,
        now: Timestamp,
        question: Question,
        wants_out: bool,
        effects: &mut Vec<Effect>,
    ) {
        match &mut self.kept.state {
            State::Leaving { .. } => {}
            State::Listening | State::Asked { .. } if wants_out => {
                self.leave(Leave::HandOver, effects);
            }
            State::Listening => self.ask(now, question, Vec::new(), effects),
            State::Asked { waiting, .. } => {
                if waiting.len() >= WAITING_MAX {
                    waiting.remove(0);
                }
                waiting.push(question);
            }
        }
    }

    fn answered(
        &mut self,
        now: Timestamp,
        call: BotCallId,
        leave: Option<Leave>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let State::Asked { question, waiting, .. } = &mut self.kept.state else {
            return Err(Refusal::NotAsked);
        };
        if question.call != call {
            return Err(Refusal::NotAsked);
        }
        let mut waiting = std::mem::take(waiting);
        match leave {
            Some(how) => self.leave(how, effects),
            None if waiting.is_empty() => self.kept.state = State::Listening,
            None => {
                let next = waiting.remove(0);
                self.ask(now, next, waiting, effects);
            }
        }
        Ok(())
    }

    fn recover(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        match &mut self.kept.state {
            State::Listening => {}
            State::Asked { question, since, .. } => {
                *since = now;
                effects.push(Effect::Ask(*question));
            }
            State::Leaving { how } => effects.push(Effect::Leave(*how)),
        }
    }

    fn ask(
        &mut self,
        now: Timestamp,
        question: Question,
        waiting: Vec<Question>,
        effects: &mut Vec<Effect>,
    ) {
        self.kept.state = State::Asked { question, since: now, waiting };
        effects.push(Effect::Ask(question));
    }

    fn leave(&mut self, how: Leave, effects: &mut Vec<Effect>) {
        self.kept.state = State::Leaving { how };
        effects.push(Effect::Leave(how));
    }
}

/// Whether one of the `words` (or phrases) stands in what was said, as whole words, in any case.
pub fn wants_out(words: &[String], said: &str) -> bool {
    let said = in_words(said);
    words
        .iter()
        .map(|word| in_words(word))
        .any(|wanted| !wanted.is_empty() && said.windows(wanted.len()).any(|part| part == wanted))
}

fn in_words(text: &str) -> Vec<String> {
    text.split(|char: char| !char.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn question(n: u128) -> Question {
        Question { call: BotCallId::from_number(n), message: MessageId::from_number(n) }
    }

    fn wrote(n: u128) -> Command {
        Command::VisitorWrote { question: question(n), wants_out: false }
    }

    fn answered(n: u128, leave: Option<Leave>) -> Command {
        Command::Answered { call: BotCallId::from_number(n), leave }
    }

    const fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    type Line<'a> = (Command, Result<&'a [Effect], Refusal>);

    /// Each command one second after the one before; what each asks for, or how it is refused.
    #[track_caller]
    fn check(talk: &mut Talk, script: &[Line<'_>]) {
        for (second, (command, expected)) in (1..).zip(script) {
            let mut effects = Vec::new();
            let outcome = talk.apply(at(second), *command, &mut effects);
            assert_eq!(outcome.map(|()| &effects[..]), *expected, "{second}. {command:?}");
        }
    }

    fn talk() -> Talk {
        Talk::new(BotId::from_number(1))
    }

    #[test]
    fn one_call_at_a_time_the_others_wait_in_order() {
        check(
            &mut talk(),
            &[
                (wrote(1), Ok(&[Effect::Ask(question(1))])),
                (wrote(2), Ok(&[])),
                (wrote(3), Ok(&[])),
                (answered(2, None), Err(Refusal::NotAsked)),
                (answered(1, None), Ok(&[Effect::Ask(question(2))])),
                (answered(1, None), Err(Refusal::NotAsked)),
                (answered(2, None), Ok(&[Effect::Ask(question(3))])),
                (answered(3, None), Ok(&[])),
                (wrote(4), Ok(&[Effect::Ask(question(4))])),
            ],
        );
    }

    #[test]
    fn few_wait_and_the_oldest_of_too_many_goes() {
        let mut talk = talk();
        let mut effects = Vec::new();
        for n in 0..=u128::try_from(WAITING_MAX).unwrap() + 1 {
            talk.apply(at(1), wrote(n), &mut effects).unwrap();
        }
        assert_eq!(effects, [Effect::Ask(question(0))]);
        talk.apply(at(2), answered(0, None), &mut effects).unwrap();
        assert_eq!(effects.last(), Some(&Effect::Ask(question(2))), "1 was the oldest that waited");
    }

    #[test]
    fn once_it_lets_go_nothing_is_asked_or_taken_any_more() {
        check(
            &mut talk(),
            &[
                (wrote(1), Ok(&[Effect::Ask(question(1))])),
                (wrote(2), Ok(&[])),
                (answered(1, Some(Leave::HandOver)), Ok(&[Effect::Leave(Leave::HandOver)])),
                (wrote(3), Ok(&[])),
                (answered(1, Some(Leave::Close)), Err(Refusal::NotAsked)),
                (Command::Spoke { leave: None }, Err(Refusal::Leaving)),
            ],
        );
    }

    #[test]
    fn a_hand_over_word_ends_it_unasked() {
        let out = Command::VisitorWrote { question: question(2), wants_out: true };
        check(
            &mut talk(),
            &[
                (wrote(1), Ok(&[Effect::Ask(question(1))])),
                (out, Ok(&[Effect::Leave(Leave::HandOver)])),
                (answered(1, None), Err(Refusal::NotAsked)),
            ],
        );
    }

    #[test]
    fn speaking_unasked_leaves_the_call_under_way() {
        check(
            &mut talk(),
            &[
                (wrote(1), Ok(&[Effect::Ask(question(1))])),
                (Command::Spoke { leave: None }, Ok(&[])),
                (answered(1, None), Ok(&[])),
                (Command::Spoke { leave: Some(Leave::Close) }, Ok(&[Effect::Leave(Leave::Close)])),
            ],
        );
    }

    #[test]
    fn silence_is_a_failure() {
        let mut talk = talk();
        let mut effects = Vec::new();
        talk.apply(at(1), wrote(1), &mut effects).unwrap();
        let due = at(1) + PATIENCE;
        assert_eq!(talk.next_deadline(), Some(due));
        effects.clear();
        talk.expire(due - Duration::from_millis(1), &mut effects);
        assert_eq!(effects, []);
        talk.expire(due, &mut effects);
        assert_eq!(effects, [Effect::Leave(Leave::Failed)]);
        assert_eq!(talk.next_deadline(), None);
    }

    #[test]
    fn a_restart_asks_again_under_the_same_id_or_tells_again_that_it_left() {
        let mut talk = talk();
        talk.apply(at(1), wrote(1), &mut Vec::new()).unwrap();
        talk.apply(at(1), wrote(2), &mut Vec::new()).unwrap();
        let mut again = Talk::restore(talk.kept().clone());
        check(
            &mut again,
            &[
                (Command::Recovered, Ok(&[Effect::Ask(question(1))])),
                (answered(1, None), Ok(&[Effect::Ask(question(2))])),
                (answered(2, Some(Leave::Close)), Ok(&[Effect::Leave(Leave::Close)])),
                (Command::Recovered, Ok(&[Effect::Leave(Leave::Close)])),
            ],
        );
    }

    #[test]
    fn words_count_as_whole_words_in_any_case() {
        let words = ["human".to_owned(), "real person".to_owned(), "!".to_owned()];
        for said in ["human", "A HUMAN, please!", "I want a real  person.", "Human"] {
            assert!(wants_out(&words, said), "{said}");
        }
        for said in ["humane", "person", "real, honest person", "", "!"] {
            assert!(!wants_out(&words, said), "{said}");
        }
    }
}
