//! An agent's working day at the socket: when to connect, what to write, when to go.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::{sleep, sleep_until, timeout};
use usher_protocol::SUB_PROTOCOL;

use super::habits::{Act, Agent};
use super::visitor::Facts;
use crate::socket::{Gone, Socket};

/// A connection that failed is tried again after a moment.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
const OPENING: Duration = Duration::from_secs(10);

/// From when to when, and where.
#[derive(Clone, Debug)]
pub(super) struct Shift {
    pub(super) address: String,
    pub(super) from: Instant,
    pub(super) facts: Facts,
}

/// Works until the shift ends or the day is over.
pub(super) async fn work(mut agent: Agent, shift: Shift, mut over: watch::Receiver<bool>) {
    tokio::select! {
        () = sleep_until(shift.from.into()) => {}
        // The day may be broken off.
        _ = over.wait_for(|over| *over) => return,
    }
    while !agent.has_gone_home() && !*over.borrow() {
        let opening = timeout(OPENING, Socket::open(&shift.address, Some(SUB_PROTOCOL))).await;
        let Ok(Ok(socket)) = opening else {
            sleep(AGAIN_AFTER).await;
            continue;
        };
        let gone = talk(&mut agent, socket, &shift, &mut over).await;
        agent.gone(Instant::now(), gone.as_ref());
        tell(&mut agent, &shift.facts).await;
        if gone.is_some() && !agent.has_gone_home() {
            sleep(AGAIN_AFTER).await;
        }
    }
    agent.goes_home(Instant::now());
    tell(&mut agent, &shift.facts).await;
}

/// One connection; `None`: the agent ended it.
async fn talk(
    agent: &mut Agent,
    mut socket: Socket,
    shift: &Shift,
    over: &mut watch::Receiver<bool>,
) -> Option<Gone> {
    socket.write(agent.hello()).await;
    loop {
        let next = agent.next_act();
        let act = tokio::select! {
            frame = socket.hear() => match frame {
                Ok(frame) => {
                    if !agent.hear(Instant::now(), &frame) {
                        return Some(Gone::default());
                    }
                    None
                }
                Err(gone) => return Some(gone),
            },
            act = due(next) => Some(act),
            _ = over.wait_for(|over| *over) => return None,
        };
        if act.is_some() {
            agent.act(Instant::now());
        }
        tell(agent, &shift.facts).await;
        for frame in agent.take_frames() {
            socket.write(frame).await;
        }
    }
}

async fn due(next: Option<(Instant, Act)>) -> Act {
    match next {
        Some((at, act)) => {
            sleep_until(at.into()).await;
            act
        }
        None => std::future::pending().await,
    }
}

async fn tell(agent: &mut Agent, facts: &Facts) {
    for (at, fact) in agent.take_facts() {
        // Whoever adds up lives longer than those who tell.
        facts.send((at, fact)).await.ok();
    }
}
