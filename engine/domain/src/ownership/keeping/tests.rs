//! One node, word by word.

use std::time::Duration;

use super::*;

const SERVICES: [ServiceId; 3] =
    [ServiceId::from_number(1), ServiceId::from_number(2), ServiceId::from_number(3)];
const TERMS: Terms = Terms::new(Duration::from_secs(5));
const SETTLED: Duration = Duration::from_secs(30);

fn id(name: &str) -> NodeId {
    NodeId(name.into())
}

fn node(name: &str) -> Node {
    Node::new(id(name), 1, SETTLED)
}

/// Settled, and draws better than this node for all services, or worse.
fn other(wins: bool) -> NodeId {
    let is_so = |other: &NodeId| {
        let nodes = [node("me"), Node::new(other.clone(), 1, SETTLED)];
        let owner = |service| placement::owner(service, &nodes, None, SETTLED) == Some(other);
        SERVICES.into_iter().all(|service| owner(service) == wins)
    };
    let mut names = (0_u32..).map(|number| id(&format!("other-{number}")));
    names.find(is_so).expect("one of eight is")
}

fn live(others: &[&NodeId]) -> Word {
    let others = others.iter().map(|other| Node::new((*other).clone(), 1, SETTLED));
    Word::Live([node("me")].into_iter().chain(others).collect())
}

struct Told {
    keeping: Keeping,
    now: Timestamp,
    asks: BTreeMap<ServiceId, Ask>,
}

impl Told {
    /// The only one that lives; owns the first `owned` services, for long.
    fn owning(owned: usize) -> Self {
        let mut told = Self::beginning(owned);
        for tenth in 1..=10 {
            told.now = told.now + TERMS.lease() / 10;
            for deed in told.hear(Word::Answered(true)) {
                if let Deed::Lease { service, effect: Effect::Renew { ask, .. }, .. } = deed {
                    let answer = Answer::Renewed;
                    told.hear(Word::Heard { service, ask, answer, holder: None });
                }
            }
            assert!(tenth > 9 || told.hear(Word::Answered(true)).is_empty());
        }
        told
    }

    fn beginning(owned: usize) -> Self {
        let now = Timestamp::from_millis(100_000);
        let keeping = Keeping::new(now, (id("me"), SETTLED), TERMS, SERVICES);
        let mut told = Self { keeping, now, asks: BTreeMap::new() };
        told.hear(live(&[]));
        for service in &SERVICES[..owned] {
            let (service, ask) = (*service, told.asks[service]);
            let answer = Answer::Acquired { epoch: Epoch(1), over: Epoch(0) };
            told.hear(Word::Heard { service, ask, answer, holder: Some(id("me")) });
            told.hear(Word::Claimed { service, epoch: Epoch(1), taken: true });
        }
        told
    }

    fn hear(&mut self, word: Word) -> Vec<Deed> {
        let mut deeds = Vec::new();
        self.keeping.hear(self.now, word, &mut deeds);
        for deed in &deeds {
            if let Deed::Lease { service, effect: Effect::Acquire { ask }, .. } = deed {
                self.asks.insert(*service, *ask);
            }
        }
        deeds
    }

    /// Which of the services are to be drained.
    fn drained(&mut self, word: Word) -> Vec<ServiceId> {
        let drains = |deed| match deed {
            Deed::Lease { service, effect: Effect::Drain, .. } => Some(service),
            _ => None,
        };
        self.hear(word).into_iter().filter_map(drains).collect()
    }

    /// For whom what has stopped is kept.
    fn released(&mut self, service: ServiceId) -> Option<NodeId> {
        let deeds = self.hear(Word::Stopped { service });
        let released = deeds.iter().find_map(|deed| match deed {
            Deed::Lease { effect: Effect::Release { .. }, next, .. } => Some(next.clone()),
            _ => None,
        });
        let told = Deed::Elsewhere { service, node: released.clone().flatten() };
        assert!(deeds.contains(&told), "doors hear of it before: {deeds:?}");
        released.expect("it is released")
    }
}

#[test]
fn a_newcomer_is_given_its_share_one_after_the_other_and_not_at_once() {
    let (mut told, new) = (Told::owning(3), other(true));
    let young = SETTLED.saturating_sub(Duration::from_millis(1));
    let comes = Word::Live(vec![node("me"), Node::new(new.clone(), 1, young)]);
    assert_eq!(told.drained(comes), []);
    for service in SERVICES {
        assert_eq!(told.drained(live(&[&new])), [service]);
        assert_eq!(told.drained(live(&[&new])), [], "the other is on its way");
        assert_eq!(told.released(service), Some(new.clone()));
        assert_eq!(told.keeping.elsewhere(service), Some(&new));
    }
    assert_eq!(told.drained(live(&[&new])), [], "nothing is left");
    assert_eq!(Told::owning(3).drained(live(&[&other(false)])), [], "and who should not is not");
}

#[test]
fn what_has_just_begun_stays_for_a_while() {
    let (mut told, stands_still) = (Told::beginning(1), other(true));
    assert_eq!(told.drained(live(&[&stands_still])), []);
    told.now = told.now + TERMS.renew_every();
    assert_eq!(told.drained(live(&[&stands_still])), []);
    assert_eq!(Told::owning(1).drained(live(&[&stands_still])), [SERVICES[0]]);
}

#[test]
fn who_leaves_gives_all_at_once_to_those_that_stay_and_wants_nothing_more() {
    let (mut told, stays) = (Told::owning(2), other(false));
    let going = Node::new(other(true), 1, SETTLED).leaving();
    let nodes = || vec![node("me"), going.clone(), Node::new(stays.clone(), 1, SETTLED)];
    assert_eq!(told.drained(Word::Live(nodes())), []);
    let deeds = told.hear(Word::Leave);
    assert!(deeds.contains(&Deed::Beat { leaving: true }), "the others hear of it at once");
    let drains = |deed: &&Deed| matches!(deed, Deed::Lease { effect: Effect::Drain, .. });
    assert_eq!(deeds.iter().filter(drains).count(), 2);
    for service in &SERVICES[..2] {
        assert_eq!(told.released(*service), Some(stays.clone()));
    }
    told.now = told.now + Duration::from_mins(1);
    for word in [Word::Live(nodes()), Word::Doubted { service: SERVICES[2] }] {
        let deeds = told.hear(word);
        let asks = |service| deeds.iter().any(|deed| asks(deed, service));
        assert!(!SERVICES.into_iter().any(asks), "it wants nothing any more: {deeds:?}");
    }
}

#[test]
fn whom_the_store_does_not_answer_hands_over_after_the_second_time_where_another_is_fit() {
    let (mut told, fit) = (Told::owning(3), other(false));
    let me = || node("me").leaving();
    told.hear(Word::Answered(false));
    assert!(told.keeping.is_fit());
    assert_eq!(told.drained(live(&[&fit])), [], "once may be chance");
    told.hear(Word::Answered(false));
    assert!(!told.keeping.is_fit());
    let unfit = Node::new(other(true), 1, SETTLED).leaving();
    assert_eq!(told.drained(Word::Live(vec![me(), unfit.clone()])), [], "nobody is better off");
    let others = Word::Live(vec![me(), Node::new(fit.clone(), 1, SETTLED), unfit]);
    assert_eq!(told.drained(others), SERVICES, "all at once");
    assert_eq!(told.released(SERVICES[0]), Some(fit));
    told.hear(Word::Answered(true));
    assert!(told.keeping.is_fit());
}

#[test]
fn who_is_answered_again_gives_nothing_away_before_the_others_know() {
    let (mut told, new) = (Told::owning(3), other(true));
    told.hear(Word::Answered(false));
    told.hear(Word::Answered(true));
    let stale = vec![node("me").leaving(), Node::new(new.clone(), 1, SETTLED)];
    assert_eq!(told.drained(Word::Live(stale)), []);
    assert_eq!(told.drained(live(&[&new])), [SERVICES[0]]);
}

#[test]
fn a_missed_answer_is_told_sooner_than_the_next_sign_of_life() {
    let mut told = Told::beginning(0);
    told.now = told.now + TERMS.patience();
    let beats = |deeds: Vec<Deed>| deeds.iter().any(|deed| matches!(deed, Deed::Beat { .. }));
    assert!(!beats(told.hear(Word::Answered(true))), "no sign is due yet");
    let deeds = told.hear(Word::Answered(false));
    assert!(deeds.contains(&Deed::Beat { leaving: true }), "{deeds:?}");
}

#[test]
fn whose_it_is_is_told_as_it_is_heard_and_looked_for_while_it_is_nobodys() {
    let (mut told, service) = (Told::beginning(0), SERVICES[0]);
    let holder = other(false);
    let looks = |told: &mut Told, millis| {
        told.now = told.now + Duration::from_millis(millis);
        told.hear(Word::Answered(true)).iter().filter(|deed| asks(deed, service)).count()
    };
    let heard = |told: &mut Told, holder: Option<NodeId>| {
        let (ask, answer) = (told.asks[&service], Answer::Held { left: Duration::from_secs(4) });
        let deeds = told.hear(Word::Heard { service, ask, answer, holder: holder.clone() });
        assert!(deeds.contains(&Deed::Elsewhere { service, node: holder }), "{deeds:?}");
    };
    // Another comes before it: it looks each two seconds, and of what is nobody's each half.
    told.hear(live(&[&holder, &other(true)]));
    heard(&mut told, Some(holder.clone()));
    assert_eq!(told.keeping.elsewhere(service), Some(&holder));
    assert_eq!((looks(&mut told, 1_999), looks(&mut told, 1)), (0, 1));
    heard(&mut told, None);
    assert_eq!((looks(&mut told, 499), looks(&mut told, 1)), (0, 1));
    assert_eq!(told.keeping.elsewhere(service), None);
}

fn asks(deed: &Deed, of: ServiceId) -> bool {
    matches!(deed, Deed::Lease { service, effect: Effect::Acquire { .. }, .. } if *service == of)
}
