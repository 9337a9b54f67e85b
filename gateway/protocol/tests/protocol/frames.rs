//! The server's frames: their shapes.

use serde_json::json;
use usher_domain::message::{Content, Media, MediaKind};
use usher_protocol::PART_BYTES_MAX;
use usher_protocol::close::Close;
use usher_protocol::event::{Entry, Event, Head, History, Line, Now, preview, shown};
use usher_protocol::frame::{
    Done, Part, ServerFrame, parse_server, reply_error, reply_ok, snapshot, splice,
};
use usher_protocol::refusal::Code;

use crate::samples;

fn read(text: &str) -> ServerFrame {
    parse_server(text).expect(text)
}

#[test]
fn every_frame_keeps_its_shape_and_reads_back() {
    let frames = [
        ServerFrame::Welcome { welcome: samples::welcome() },
        ServerFrame::Snapshot { snapshot: Part { part: 1, heads: vec![samples::full_head()] } },
        ServerFrame::Done { done: Done { at: 130, parts: 1 } },
        ServerFrame::Ok { re: 7, ok: json!({}) },
        ServerFrame::Error { re: 7, error: Code::AlreadyTaken.into() },
        ServerFrame::Bye { bye: Close::Restarting.bye(Some(5)) },
    ];
    let mut texts = Vec::new();
    for frame in frames {
        let text = frame.encode();
        assert_eq!(read(&text), frame, "{text}");
        texts.push(text);
    }
    insta::assert_snapshot!(texts.join("\n"), @r##"
    {"welcome":{"session":"ses_0000000000000000000000000000000c","epoch":"a1","offset":130,"recovered":true,"staff":{"id":"stf_00000000000000000000000000000003","name":"Ana Lee","role":"agent","presence":"active","capacity":5},"heartbeat":25}}
    {"snapshot":{"part":1,"heads":[{"id":"enq_00000000000000000000000000000001","as":"owner","state":"followed_up","channel":{"id":"chn_00000000000000000000000000000006","name":"Shop"},"visitor":{"id":"vis_00000000000000000000000000000005","name":"Rui","phone":"+85291234567","opted_out":true},"language":"pt","country":"HK","owner":{"id":"stf_00000000000000000000000000000003","name":"Ana Lee"},"bot":{"id":"bot_00000000000000000000000000000008","name":"Robin"},"opened_at":"2026-11-23T09:30:00.000Z","window_until":"2026-11-24T09:30:00.000Z","first_message":"Is it open?","order":1,"visitor_waits":"2026-11-23T09:30:01.000Z","hold_until":"2026-11-23T09:30:02.000Z","closes_at":"2026-11-23T09:30:03.000Z","offer":{"until":"2026-11-23T09:30:20.000Z","sort":{"offer":"missed"}},"transfer":{"by":{"id":"stf_00000000000000000000000000000003","name":"Ana Lee"},"to":{"group":"grp_00000000000000000000000000000004"},"blind":false,"until":"2026-11-23T09:30:30.000Z"},"people":[{"id":"stf_00000000000000000000000000000003","name":"Ana Lee"}],"labels":["vip"],"elsewhere":[{"enquiry":"enq_00000000000000000000000000000009","channel":{"id":"chn_0000000000000000000000000000000a","name":"Repairs"},"owner":{"id":"stf_00000000000000000000000000000003","name":"Ana Lee"}}]}]}}
    {"done":{"at":130,"parts":1}}
    {"re":7,"ok":{}}
    {"re":7,"error":{"code":"already_taken","text":"Somebody else was first.","retry":false}}
    {"bye":{"code":4100,"text":"restarting","retry_after":5}}
    "##);
}

#[test]
fn every_event_keeps_its_shape_and_reads_back() {
    let mut texts = Vec::new();
    for (at, event) in (131..).zip(samples::events()) {
        let text = splice(at, &event.tail());
        let ServerFrame::Event(numbered) = read(&text) else { panic!("{text}") };
        assert_eq!((numbered.at, numbered.typed().as_ref()), (at, Some(&event)), "{text}");
        texts.push(text);
    }
    insta::assert_snapshot!(texts.join("\n"), @r##"
    {"at":131,"event":"enquiry.offered","data":{"enquiry":{"id":"enq_00000000000000000000000000000001","as":"offered","state":"open","channel":{"id":"chn_00000000000000000000000000000006","name":"Shop"},"visitor":{"id":"vis_00000000000000000000000000000005"},"opened_at":"2026-11-23T09:30:00.000Z","window_until":"2026-11-24T09:30:00.000Z","order":1},"until":"2026-11-23T09:30:20.000Z","sort":{"offer":"one_by_one","at":{"group":"grp_00000000000000000000000000000004"}}}}
    {"at":132,"event":"enquiry.withdrawn","data":{"enquiry":"enq_00000000000000000000000000000001","why":"elsewhere"}}
    {"at":133,"event":"enquiry.picked_up","data":{"enquiry":{"id":"enq_00000000000000000000000000000001","as":"offered","state":"open","channel":{"id":"chn_00000000000000000000000000000006","name":"Shop"},"visitor":{"id":"vis_00000000000000000000000000000005"},"opened_at":"2026-11-23T09:30:00.000Z","window_until":"2026-11-24T09:30:00.000Z","order":1},"by":{"id":"stf_00000000000000000000000000000003","name":"Ana Lee"},"how":"take_over","from":{"id":"stf_00000000000000000000000000000003","name":"Ana Lee"},"epoch":2}}
    {"at":134,"event":"enquiry.updated","data":{"enquiry":{"id":"enq_00000000000000000000000000000001","as":"offered","state":"open","channel":{"id":"chn_00000000000000000000000000000006","name":"Shop"},"visitor":{"id":"vis_00000000000000000000000000000005"},"opened_at":"2026-11-23T09:30:00.000Z","window_until":"2026-11-24T09:30:00.000Z","order":1}}}
    {"at":135,"event":"enquiry.transferred","data":{"enquiry":"enq_00000000000000000000000000000001","by":{"id":"stf_00000000000000000000000000000003","name":"Ana Lee"},"to":{"group":"grp_00000000000000000000000000000004"},"blind":true,"until":"2026-11-23T09:30:20.000Z"}}
    {"at":136,"event":"enquiry.transferred","data":{"enquiry":"enq_00000000000000000000000000000001","by":{"id":"stf_00000000000000000000000000000003","name":"Ana Lee"},"to":{"staff":"stf_00000000000000000000000000000003"},"blind":false,"end":"lapsed"}}
    {"at":137,"event":"enquiry.missed","data":{"enquiry":{"id":"enq_00000000000000000000000000000001","as":"offered","state":"open","channel":{"id":"chn_00000000000000000000000000000006","name":"Shop"},"visitor":{"id":"vis_00000000000000000000000000000005"},"opened_at":"2026-11-23T09:30:00.000Z","window_until":"2026-11-24T09:30:00.000Z","order":1}}}
    {"at":138,"event":"enquiry.closed","data":{"enquiry":"enq_00000000000000000000000000000001","closer":{"by":"auto_close","unanswered":true},"silent":false,"time":"2026-11-23T09:30:09.000Z"}}
    {"at":139,"event":"enquiry.reminder","data":{"enquiry":"enq_00000000000000000000000000000001","why":"auto_close","closes_at":"2026-11-23T09:31:00.000Z"}}
    {"at":140,"event":"message.received","data":{"message":{"id":"msg_00000000000000000000000000000002","enquiry":"enq_00000000000000000000000000000001","order":2,"direction":"in","writer":{"by":"visitor"},"content":{"kind":"text","body":"Is it open?"},"time":"2026-11-23T09:30:05.000Z","provider_time":"2026-11-23T09:30:04.000Z"}}}
    {"at":141,"event":"message.sent","data":{"message":{"id":"msg_00000000000000000000000000000002","enquiry":"enq_00000000000000000000000000000001","order":2,"direction":"out","writer":{"by":"staff","staff":{"id":"stf_00000000000000000000000000000003","name":"Ana Lee"}},"content":{"kind":"text","body":"Is it open?"},"time":"2026-11-23T09:30:05.000Z","reply_to":"msg_00000000000000000000000000000002","delivery":"queued","key":"k-1"}}}
    {"at":142,"event":"message.sent","data":{"message":{"id":"msg_00000000000000000000000000000002","enquiry":"enq_00000000000000000000000000000001","order":2,"direction":"out","writer":{"by":"auto","message":"welcome"},"content":{"kind":"text","body":"Is it open?"},"time":"2026-11-23T09:30:05.000Z"}}}
    {"at":143,"event":"message.status","data":{"enquiry":"enq_00000000000000000000000000000001","message":"msg_00000000000000000000000000000002","delivery":"failed","time":"2026-11-23T09:30:06.000Z","failure":{"code":131047,"title":"Re-engagement message"}}}
    {"at":144,"event":"message.edited","data":{"enquiry":"enq_00000000000000000000000000000001","message":"msg_00000000000000000000000000000002","content":{"kind":"text","body":"Is it open today?"},"time":"2026-11-23T09:30:07.000Z"}}
    {"at":145,"event":"message.revoked","data":{"enquiry":"enq_00000000000000000000000000000001","message":"msg_00000000000000000000000000000002","time":"2026-11-23T09:30:08.000Z"}}
    {"at":146,"event":"message.reaction","data":{"enquiry":"enq_00000000000000000000000000000001","message":"msg_00000000000000000000000000000002","writer":{"by":"visitor"},"emoji":"👍","time":"2026-11-23T09:30:08.000Z"}}
    {"at":147,"event":"note.added","data":{"note":{"id":"msg_00000000000000000000000000000002","enquiry":"enq_00000000000000000000000000000001","order":3,"by":{"id":"stf_00000000000000000000000000000003","name":"Ana Lee"},"text":"rings back","time":"2026-11-23T09:30:09.000Z"}}}
    {"at":148,"event":"room.joined","data":{"enquiry":{"id":"enq_00000000000000000000000000000001","as":"offered","state":"open","channel":{"id":"chn_00000000000000000000000000000006","name":"Shop"},"visitor":{"id":"vis_00000000000000000000000000000005"},"opened_at":"2026-11-23T09:30:00.000Z","window_until":"2026-11-24T09:30:00.000Z","order":1},"staff":{"id":"stf_00000000000000000000000000000003","name":"Ana Lee"},"by":{"id":"stf_00000000000000000000000000000003","name":"Ana Lee"},"monitor":true}}
    {"at":149,"event":"room.left","data":{"enquiry":"enq_00000000000000000000000000000001","staff":{"id":"stf_00000000000000000000000000000003","name":"Ana Lee"}}}
    {"at":150,"event":"window.closing","data":{"enquiry":"enq_00000000000000000000000000000001","until":"2026-11-23T09:31:00.000Z"}}
    {"at":151,"event":"window.closed","data":{"enquiry":"enq_00000000000000000000000000000001","by_provider":true}}
    {"at":152,"event":"window.opened","data":{"enquiry":"enq_00000000000000000000000000000001","until":"2026-11-24T09:30:00.000Z"}}
    {"at":153,"event":"custom_info","data":{"channel":{"id":"chn_00000000000000000000000000000006","name":"Shop"},"text":"Closed on Monday"}}
    {"at":154,"event":"notice","data":{"level":"warning","text":"Nobody took over.","enquiry":"enq_00000000000000000000000000000001"}}
    "##);
    for name in Event::NAMES {
        assert!(texts.iter().any(|text| text.contains(&format!(r#""event":"{name}""#))), "{name}");
    }
}

#[test]
fn every_statement_keeps_its_shape_and_its_key() {
    let mut texts = Vec::new();
    for state in samples::states() {
        let text = state.encode();
        let ServerFrame::Now(frame) = read(&text) else { panic!("{text}") };
        assert_eq!(frame.typed(), Some(state.clone()), "{text}");
        texts.push(format!("{}\n  {text}", state.key()));
    }
    insta::assert_snapshot!(texts.join("\n"), @r##"
    presence:stf_00000000000000000000000000000003
      {"now":"presence.changed","data":{"staff":{"id":"stf_00000000000000000000000000000003","name":"Ana Lee"},"presence":"idle","why":"no_answer","since":"2026-11-23T09:30:00.000Z"}}
    queue:que_0000000000000000000000000000000b
      {"now":"queue.changed","data":{"destination":{"queue":"que_0000000000000000000000000000000b"},"name":"Repairs","length":3,"oldest":"2026-11-23T09:30:00.000Z"}}
    counters
      {"now":"counters","data":{"load":1,"capacity":5,"offers":0,"waiting":2,"missed":0}}
    countdown:enq_00000000000000000000000000000001:AutoClose
      {"now":"countdown","data":{"enquiry":"enq_00000000000000000000000000000001","of":"auto_close","until":"2026-11-23T09:31:00.000Z"}}
    typing:enq_00000000000000000000000000000001:stf_00000000000000000000000000000003
      {"now":"typing","data":{"enquiry":"enq_00000000000000000000000000000001","staff":{"id":"stf_00000000000000000000000000000003","name":"Ana Lee"}}}
    "##);
    assert_eq!(texts.len(), Now::NAMES.len());
}

#[test]
fn answers_are_numbered() {
    insta::assert_snapshot!(
        reply_ok(7, &json!({ "message": "msg_00000000000000000000000000000002" })).unwrap(),
        @r#"{"re":7,"ok":{"message":"msg_00000000000000000000000000000002"}}"#
    );
    insta::assert_snapshot!(
        reply_error(7, Code::Unavailable),
        @r#"{"re":7,"error":{"code":"unavailable","text":"The service is not available for the moment.","retry":true}}"#
    );
}

#[test]
fn what_a_later_version_adds_does_no_harm() {
    let later = r#"{"welcome_back":{}}"#;
    assert!(matches!(read(later), ServerFrame::Unknown(_)));
    let ServerFrame::Event(event) = read(r#"{"at":1,"event":"enquiry.sung","data":{},"x":1}"#)
    else {
        panic!("no event")
    };
    assert_eq!((event.at, event.typed()), (1, None));
    assert!(matches!(read(r#"{"done":{"at":1,"parts":0,"x":1}}"#), ServerFrame::Done { .. }));
    assert!(parse_server(r#"{"at":"one"}"#).is_err());
    assert!(parse_server("[]").is_err());
}

#[test]
fn a_snapshot_comes_in_parts_of_bounded_size() {
    let heads: Vec<_> = (0..200).map(|_| samples::full_head()).collect();
    let frames = snapshot(heads.iter().map(Head::text), 130, usize::MAX);
    let mut seen = Vec::new();
    let (last, parts) = frames.split_last().unwrap();
    for (number, text) in (1..).zip(parts) {
        assert!(text.len() <= PART_BYTES_MAX, "{}", text.len());
        let ServerFrame::Snapshot { snapshot } = read(text) else { panic!("{text}") };
        assert_eq!(snapshot.part, number);
        seen.extend(snapshot.heads);
    }
    assert!(parts.len() > 2 && parts[0].len() > PART_BYTES_MAX - 2_000, "{}", parts.len());
    assert_eq!(seen, heads);
    let parts = u32::try_from(parts.len()).unwrap();
    assert_eq!(read(last), ServerFrame::Done { done: Done { at: 130, parts } });
}

#[test]
fn an_empty_snapshot_is_only_its_end() {
    let frames = snapshot([], 5, PART_BYTES_MAX);
    assert_eq!(frames, [r#"{"done":{"at":5,"parts":0}}"#.into()]);
}

#[test]
fn a_page_of_history_fits_or_is_one_entry() {
    let entry = |order| Entry::Event(Line { order, time: samples::time(0), what: left() });
    let entries: Vec<_> = (0..10).rev().map(entry).collect();
    let size = serde_json::to_vec(&entries[0]).unwrap().len() + 1;
    for (bytes, kept, more) in [(0, 1, true), (size * 3, 3, true), (size * 10, 10, false)] {
        let page = History::fitting(entries.clone(), false, bytes);
        assert_eq!((page.entries.as_slice(), page.more), (&entries[..kept], more), "{bytes}");
        let text = serde_json::to_string(&page).unwrap();
        assert_eq!(serde_json::from_str::<History>(&text).unwrap(), page);
    }
}

fn left() -> Event {
    samples::events().into_iter().find(|event| matches!(event, Event::Left { .. })).unwrap()
}

#[test]
fn staff_see_contents_without_the_providers_handles() {
    let media = Content::Media(Media {
        sort: MediaKind::Image,
        file: None,
        provider_id: Some("123".into()),
        mime_type: "image/png".into(),
        caption: Some("two\nlines".into()),
        filename: None,
        sha256: Some("x".into()),
    });
    insta::assert_snapshot!(
        serde_json::to_string(&shown(&media)).unwrap(),
        @r#"{"kind":"media","sort":"image","mime_type":"image/png","caption":"two\nlines"}"#
    );
    assert_eq!(preview(&media).as_deref(), Some("two lines"));
    let raw = Content::Unsupported { what: None, raw: Some("{}".into()) };
    assert_eq!(shown(&raw), Content::Unsupported { what: None, raw: None });
    let long = Content::Text { body: "é".repeat(300) };
    assert_eq!(preview(&long).map(|text| text.chars().count()), Some(200));
}

#[test]
fn what_nobody_acts_on_may_wait_and_nothing_else() {
    let mut waiting: Vec<String> = Vec::new();
    for event in samples::events() {
        if event.may_wait() {
            let shape = serde_json::to_value(&event).unwrap();
            let writer = shape["data"]["message"]["writer"]["by"].as_str().unwrap_or_default();
            waiting.push(format!("{} {writer}", shape["event"].as_str().unwrap()));
        }
    }
    waiting.sort();
    waiting.dedup();
    let ticks = ["enquiry.missed ", "enquiry.updated ", "message.sent auto", "message.status "];
    assert_eq!(waiting, ticks);
}
