use usher_domain::record::After;
use usher_store::encode;

use super::*;

/// The records of one visitor, as a real program writes them; handled by somebody, and closed again
/// if that is wanted.
fn story(number: u64, closed: bool) -> Vec<String> {
    let (phone, user_id) = (wire::wa_id(number), wire::user_id(number));
    let of = |kind: &str| format!("{kind}_{number:032x}");
    let (vis, enq, msg, stf) =
        (of("vis"), of("enq"), of("msg"), "stf_00000000000000000000000000000001");
    let chn = "chn_00000000000000000000000000000002";
    let place = format!(
        r#"{{"place":{{"enquiry":"{enq}","place":{{"channel":"{chn}","visitor":"{vis}","arrival":{number},"opened_at":1793534400000,"stage":{{"state":"ongoing","owner":"{stf}"}},"epoch":1,"window_until":1793620800000,"groups":[]}}}}}}"#
    );
    let kept = format!(
        r#"{{"enquiry":{{"enquiry":"{enq}","kept":{{"opened_at":1793534400000,"window_until":1793620800000,"window":"open","last_counted":1793534400000,"visitor_last":true,"serving":{{"serving":"somebody"}},"clock":{{"clock":"stopped"}},"notice":{{"notice":"none"}},"grace":60000}}}}}}"#
    );
    let mut told = vec![
        format!(
            r#"{{"event":"visitor_changed","visitor":{{"id":"{vis}","identities":{{"wa_id":"{phone}","user_id":"{user_id}"}},"name":"Visitor {number}","username":null,"blocked":false,"opted_out":false,"bindings":[]}}}}"#
        ),
        format!(
            r#"{{"event":"enquiry_opened","enquiry":"{enq}","channel":"{chn}","visitor":"{vis}"}}"#
        ),
        format!(
            r#"{{"event":"message_received","message":"{msg}","channel":"{chn}","visitor":"{vis}","enquiry":"{enq}","provider_id":"wamid.{number}","provider_at":1793534400000,"counts":"message","content":{{"kind":"text","body":"Hello"}}}}"#
        ),
        format!(
            r#"{{"event":"floor","did":"picked_up","enquiry":"{enq}","by":"{stf}","how":"offer","from":null,"epoch":1}},"after":[{place},{kept}]"#
        ),
    ];
    if closed {
        told.push(format!(r#"{{"event":"floor","did":"closed","enquiry":"{enq}","by":{{"by":"staff","staff":"{stf}"}},"silent":true,"reason":null,"owner":"{stf}"}},"after":[{{"place":{{"enquiry":"{enq}","place":null}}}},{{"enquiry":{{"enquiry":"{enq}","kept":null}}}}]"#));
    }
    let body = |what: String| {
        let (what, after) = what.split_once(",\"after\":").map_or((what.as_str(), ""), |it| it);
        let after = if after.is_empty() { String::new() } else { format!(",\"after\":{after}") };
        format!(r#"{{"v":1,"at":1793534400000,"what":{what}{after}}}"#)
    };
    told.into_iter().map(body).collect()
}

fn written(data: &Path, bodies: &[String]) {
    let store = Store::open(data, StoreOptions::default()).unwrap();
    let records = bodies.iter().zip(1_u64..).map(|(body, seq)| {
        // Nothing is told again that is no record.
        let body = encode(&decode(body).unwrap_or_else(|error| panic!("{error}: {body}")));
        Entry { seq, body }
    });
    let (told, outcome) = channel();
    let done = Box::new(move |outcome| told.send(outcome).unwrap());
    let (service, records) = (ServiceId::from_number(1), records.collect());
    store.journal().submit(Commit { service, records, done }).unwrap();
    outcome.recv().unwrap().unwrap();
    store.close();
}

/// Live enquiries by the archive, and how many rooms stand behind them.
fn live(data: &Path) -> (BTreeSet<EnquiryId>, BTreeSet<String>) {
    let store = Store::open(data, StoreOptions::default()).unwrap();
    let service = ServiceId::from_number(1);
    let reader = store.archive().reader().unwrap();
    let (mut places, mut phones) = (BTreeSet::new(), BTreeSet::new());
    reader
        .live(service, |found| {
            if let After::Place { enquiry, place: Some(_) } = found.state {
                places.insert(enquiry);
            }
        })
        .unwrap();
    let seen = |room: usher_store::LiveRoom| {
        phones.insert(room.visitor.identities.wa_id.unwrap().to_string());
    };
    reader.live_rooms(service, seen).unwrap();
    (places, phones)
}

#[test]
fn a_few_are_told_again_of_many() {
    let dir = tempfile::tempdir().unwrap();
    let real = [story(1, false), story(2, false), story(3, true)].concat();
    written(dir.path(), &real);
    let mut past = Past::learn(dir.path()).unwrap();
    assert_eq!(past.records(), (4, 5));
    let likes = (100..400).map(|visitor| Like { visitor, real: visitor % 2 + 1 });
    past.live(dir.path(), likes).unwrap();
    past.closed(dir.path(), 1_000..1_500).unwrap();
    let (places, phones) = live(dir.path());
    assert_eq!((places.len(), phones.len()), (302, 302));
    for visitor in (1..3).chain(100..400) {
        assert!(phones.contains(&wire::wa_id(visitor)), "{visitor}");
    }
    // Told after what was told before.
    past.live(dir.path(), (400..410).map(|visitor| Like { visitor, real: 1 })).unwrap();
    assert_eq!(live(dir.path()).0.len(), 312);
}

#[test]
fn who_was_not_there_cannot_be_told_again() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), &story(1, false));
    let mut past = Past::learn(dir.path()).unwrap();
    assert!(past.live(dir.path(), [Like { visitor: 9, real: 2 }].into_iter()).is_err());
    assert!(past.closed(dir.path(), 10..20).is_err());
}
