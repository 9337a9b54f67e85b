//! Random sightings and notices: nobody shares an id, nobody is lost, every run repeats.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let id = 0_u8..6;
    let step = prop_oneof![
        6 => (id.clone(), id.clone()).prop_map(|(w, u)| Step::See(w, u)),
        1 => (id.clone(), id.clone()).prop_map(|(a, b)| Step::Number(a, b)),
        1 => (id.clone(), id.clone(), id).prop_map(|(a, b, w)| Step::User(a, b, w)),
    ];
    proptest::collection::vec(step, 1..60)
}

/// Follows the effects as a journal would, and keeps the history of each visitor: which steps
/// were theirs.
#[derive(Debug, Default, PartialEq)]
struct Ledger {
    visitors: BTreeMap<VisitorId, Visitor>,
    history: BTreeMap<VisitorId, BTreeSet<usize>>,
}

impl Ledger {
    fn take(&mut self, effect: Effect) {
        match effect {
            Effect::Changed(visitor) => {
                self.visitors.insert(visitor.id, *visitor);
            }
            Effect::Merged { kept, gone } => {
                assert!(kept < gone, "the older id stays");
                assert!(self.visitors.remove(&gone).is_some(), "{gone} was known");
                assert!(self.visitors.contains_key(&kept), "{kept} is known");
                let history = self.history.remove(&gone).unwrap_or_default();
                self.history.entry(kept).or_default().extend(history);
            }
            Effect::WindowsLapsed { visitor } => {
                assert!(self.visitors.contains_key(&visitor), "{visitor} is known");
            }
        }
    }

    /// What the archive answers.
    fn find(&self, key: &Key) -> Option<&Visitor> {
        self.visitors.values().find(|visitor| visitor.identities.keys().any(|own| own == *key))
    }

    fn check_ids(&self) {
        let mut seen = BTreeSet::new();
        for visitor in self.visitors.values() {
            for key in visitor.identities.keys() {
                assert!(seen.insert(key.clone()), "{key:?} belongs to two visitors");
            }
        }
    }
}

/// Runs the steps; with `forgetful`, whatever may be unloaded is, after every step.
fn run(steps: &[Step], forgetful: bool) -> (Ledger, Vec<Option<VisitorId>>) {
    let (mut directory, mut ledger) = (Directory::new(), Ledger::default());
    let mut answers = Vec::new();
    for (at, &step) in steps.iter().enumerate() {
        for key in wanted(&directory, step) {
            if let Some(visitor) = ledger.find(&key) {
                directory.load(visitor.clone());
            }
        }
        let mut effects = Vec::new();
        let (now, id) = (Timestamp::from_millis(at as u64), VisitorId::from_number(at as u128));
        let known = known(&directory, step);
        let answer = take(&mut directory, now, step, id, &mut effects);
        if known.is_some() {
            assert_eq!((answer, effects.len()), (known, 0), "who is known is who it is");
        }
        for effect in effects {
            ledger.take(effect);
        }
        if let Some(visitor) = answer {
            ledger.history.entry(visitor).or_default().insert(at);
        }
        answers.push(answer);
        ledger.check_ids();
        for known in directory.visitors() {
            assert_eq!(Some(known), ledger.visitors.get(&known.id), "every change was told");
            for key in known.identities.keys() {
                assert_eq!(directory.holder(&key), Some(known.id), "the index is right");
            }
        }
        if forgetful {
            forget(&mut directory);
        }
    }
    (ledger, answers)
}

fn wanted(directory: &Directory, step: Step) -> Vec<Key> {
    match step {
        Step::See(w, u) => {
            directory.wanted(&Identities::read(wa_id(w).as_deref(), user_id(u).as_deref()))
        }
        Step::Number(a, b) => {
            let (a, b) = (wa_id(a).unwrap_or_default(), wa_id(b).unwrap_or_default());
            directory.wanted_by(&Notice::NumberChanged { old_wa_id: &a, new_wa_id: &b })
        }
        Step::User(a, b, w) => directory.wanted_by(&Notice::UserIdChanged {
            previous: user_id(a).as_deref(),
            current: user_id(b).as_deref().unwrap_or_default(),
            wa_id: wa_id(w).as_deref(),
        }),
    }
}

/// Of whom nothing new is seen.
fn known(directory: &Directory, step: Step) -> Option<VisitorId> {
    let Step::See(w, u) = step else { return None };
    let (wa_id, user_id) = (wa_id(w), user_id(u));
    let seen = Seen {
        wa_id: wa_id.as_deref(),
        user_id: user_id.as_deref(),
        name: None,
        username: None,
        channel: CHANNEL,
    };
    directory.known(&seen).map(|visitor| visitor.id)
}

fn forget(directory: &mut Directory) {
    directory.projected(directory.revision());
    let all: Vec<_> = directory.visitors().map(|visitor| visitor.id).collect();
    for id in all {
        assert_eq!(directory.unload(id), Ok(()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn nobody_shares_an_id_and_nobody_is_lost(steps in steps()) {
        let (ledger, answers) = run(&steps, false);
        let kept: BTreeSet<usize> = ledger.history.values().flatten().copied().collect();
        let given: BTreeSet<usize> =
            (0..steps.len()).filter(|&at| answers[at].is_some()).collect();
        prop_assert_eq!(kept, given, "the histories together are everything that happened");
        for visitor in ledger.history.keys() {
            prop_assert!(ledger.visitors.contains_key(visitor));
        }
        for (at, step) in steps.iter().enumerate() {
            let nobody = matches!(step, Step::See(0, 0));
            let sighting = matches!(step, Step::See(..));
            prop_assert!(!sighting || answers[at].is_some() != nobody);
        }
    }

    #[test]
    fn what_is_loaded_makes_no_difference(steps in steps()) {
        let (all, forgotten) = (run(&steps, false), run(&steps, true));
        prop_assert_eq!(&all, &run(&steps, false), "the same again");
        prop_assert_eq!(all, forgotten);
    }
}
