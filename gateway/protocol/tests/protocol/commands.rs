//! Clients' frames: their shapes, and what is said of those that are wrong.

use usher_protocol::close::Close;
use usher_protocol::command::Command;
use usher_protocol::frame::{ClientFrame, Epoch, Hello, ID_MAX, Resume, Token, parse_client};
use usher_protocol::{FRAME_BYTES_MAX, Fault};

use crate::samples;

fn hellos() -> [Hello; 3] {
    let token = Some(Token::new("s3cret"));
    let resume = Some(Resume { epoch: Epoch::new("a1"), offset: 123 });
    [
        Hello { token: token.clone(), resume },
        Hello { token, resume: None },
        Hello { token: None, resume: None },
    ]
}

#[test]
fn every_frame_keeps_its_shape_and_reads_back() {
    let hellos = hellos().into_iter().map(ClientFrame::Hello);
    let commands =
        samples::commands().into_iter().map(|command| ClientFrame::Command { id: 7, command });
    let mut texts = Vec::new();
    for frame in hellos.chain(commands) {
        let text = frame.encode();
        assert_eq!(parse_client(&text), Ok(frame), "{text}");
        texts.push(text);
    }
    insta::assert_snapshot!(texts.join("\n"), @r##"
    {"hello":{"resume":{"epoch":"a1","offset":123},"token":"s3cret"}}
    {"hello":{"token":"s3cret"}}
    {"hello":{}}
    {"do":"presence.set","id":7,"presence":"busy"}
    {"do":"presence.set","id":7,"presence":"active","staff":"stf_00000000000000000000000000000003"}
    {"do":"pick_up","enquiry":"enq_00000000000000000000000000000001","id":7}
    {"do":"decline","enquiry":"enq_00000000000000000000000000000001","id":7}
    {"do":"typing","enquiry":"enq_00000000000000000000000000000001","id":7}
    {"do":"read","enquiry":"enq_00000000000000000000000000000001","id":7,"message":"msg_00000000000000000000000000000002"}
    {"do":"note","enquiry":"enq_00000000000000000000000000000001","id":7,"text":"rings back"}
    {"do":"transfer","enquiry":"enq_00000000000000000000000000000001","id":7,"to":{"staff":"stf_00000000000000000000000000000003"}}
    {"blind":true,"do":"transfer","enquiry":"enq_00000000000000000000000000000001","id":7,"to":{"group":"grp_00000000000000000000000000000004"}}
    {"do":"cancel_transfer","enquiry":"enq_00000000000000000000000000000001","id":7}
    {"do":"add_staff","enquiry":"enq_00000000000000000000000000000001","id":7,"staff":"stf_00000000000000000000000000000003"}
    {"do":"remove_staff","enquiry":"enq_00000000000000000000000000000001","id":7,"staff":"stf_00000000000000000000000000000003"}
    {"do":"leave","enquiry":"enq_00000000000000000000000000000001","id":7}
    {"do":"monitor","enquiry":"enq_00000000000000000000000000000001","id":7}
    {"do":"unmonitor","enquiry":"enq_00000000000000000000000000000001","id":7}
    {"do":"join","enquiry":"enq_00000000000000000000000000000001","id":7}
    {"do":"take_over","enquiry":"enq_00000000000000000000000000000001","id":7}
    {"do":"assign","enquiry":"enq_00000000000000000000000000000001","id":7,"staff":"stf_00000000000000000000000000000003"}
    {"do":"hold","enquiry":"enq_00000000000000000000000000000001","id":7,"until":"2026-11-23T09:30:00.000Z"}
    {"do":"hold","enquiry":"enq_00000000000000000000000000000001","id":7}
    {"do":"block","id":7,"reason":"abuse","visitor":"vis_00000000000000000000000000000005"}
    {"do":"close","enquiry":"enq_00000000000000000000000000000001","id":7}
    {"do":"close","enquiry":"enq_00000000000000000000000000000001","id":7,"reason":"spam","silent":true}
    {"do":"label","enquiry":"enq_00000000000000000000000000000001","id":7,"label":"vip"}
    {"do":"label","enquiry":"enq_00000000000000000000000000000001","id":7,"label":"vip","on":false}
    {"channel":"chn_00000000000000000000000000000006","do":"start","id":7,"key":"k-2","template":{"body":["Ana"],"buttons":[{"index":1,"kind":"url","value":"x7"}],"header":{"media":{"file":"med_00000000000000000000000000000007","sort":"image"}},"language":"en","name":"hello_again"},"to":{"visitor":"vis_00000000000000000000000000000005"}}
    {"channel":"chn_00000000000000000000000000000006","do":"start","id":7,"key":"k-3","template":{"body":["Ana"],"buttons":[{"index":1,"kind":"url","value":"x7"}],"header":{"media":{"file":"med_00000000000000000000000000000007","sort":"image"}},"language":"en","name":"hello_again"},"to":{"phone":"+85291234567"}}
    {"before":40,"do":"history","enquiry":"enq_00000000000000000000000000000001","id":7,"limit":20}
    {"before":"enq_00000000000000000000000000000001","do":"unserved","id":7,"limit":20,"state":"missed"}
    {"at":131,"do":"ack","id":7}
    {"do":"activity","id":7}
    {"do":"language","id":7,"language":"pt","visitor":"vis_00000000000000000000000000000005"}
    {"do":"opt_out","id":7,"visitor":"vis_00000000000000000000000000000005"}
    {"do":"sign_out","held":"hand_over","id":7}
    {"do":"sign_out","id":7}
    {"content":{"body":"Good morning","kind":"text"},"do":"send","enquiry":"enq_00000000000000000000000000000001","id":7,"key":"k-1","reply_to":"msg_00000000000000000000000000000002"}
    {"content":{"caption":"the plan","file":"med_00000000000000000000000000000007","kind":"media","sort":"image"},"do":"send","enquiry":"enq_00000000000000000000000000000001","id":7,"key":"k-1"}
    {"content":{"kind":"location","latitude":22.3,"longitude":114.2},"do":"send","enquiry":"enq_00000000000000000000000000000001","id":7,"key":"k-1"}
    {"content":{"body":[],"kind":"template","language":"en","name":"back"},"do":"send","enquiry":"enq_00000000000000000000000000000001","id":7,"key":"k-1"}
    {"content":{"emoji":"👍","kind":"reaction","to":"msg_00000000000000000000000000000002"},"do":"send","enquiry":"enq_00000000000000000000000000000001","id":7,"key":"k-1"}
    {"content":{"kind":"reaction","to":"msg_00000000000000000000000000000002"},"do":"send","enquiry":"enq_00000000000000000000000000000001","id":7,"key":"k-1"}
    "##);
}

#[test]
fn every_command_is_sampled_and_named() {
    let sampled: Vec<_> = samples::commands().iter().map(Command::name).collect();
    for name in Command::NAMES {
        assert!(sampled.contains(&name), "{name}");
    }
    let refused = parse_client(r#"{"id":7,"do":"dance"}"#).unwrap_err();
    let Fault::UnknownCommand { known, .. } = refused.fault else { panic!("{refused}") };
    assert_eq!(known, Command::NAMES);
}

#[test]
fn defaults_may_be_left_out_or_written() {
    let enquiry = "enq_00000000000000000000000000000001";
    for (short, long) in [
        (r#""do":"close""#, r#""do":"close","silent":false,"reason":null"#),
        (r#""do":"label","label":"vip""#, r#""do":"label","label":"vip","on":true"#),
        (r#""do":"history""#, r#""do":"history","limit":50"#),
        (r#""do":"hold""#, r#""do":"hold","until":null"#),
    ] {
        let frame = |fields: &str| format!(r#"{{"enquiry":"{enquiry}",{fields},"id":1}}"#);
        assert_eq!(parse_client(&frame(short)), parse_client(&frame(long)));
        assert!(parse_client(&frame(short)).is_ok(), "{short}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_what_would_be_right() {
    let texts = WRONG.map(|frame| {
        let refused = parse_client(frame).expect_err(frame);
        let id = refused.id.map_or_else(String::new, |id| format!("[{id}] "));
        format!("{frame}\n  {id}{refused}")
    });
    insta::assert_snapshot!(texts.join("\n"), @r##"

      not one JSON value, nested at most 8 deep, no field twice: EOF while parsing a value at line 1 column 0
    hello
      not one JSON value, nested at most 8 deep, no field twice: expected value at line 1 column 1
    []
      a frame is {"hello":{…}} or {"id":7,"do":"…",…}; this is no object
    {"id":7,"do":"activity"} x
      not one JSON value, nested at most 8 deep, no field twice: trailing characters at line 1 column 26
    {"id":7,"id":8,"do":"activity"}
      not one JSON value, nested at most 8 deep, no field twice: the field `id` stands there twice at line 1 column 12
    {"id":7,"do":"note","text":[[[[[[[[[]]]]]]]]]}
      not one JSON value, nested at most 8 deep, no field twice: nested too deeply at line 1 column 35
    {}
      a frame is {"hello":{…}} or {"id":7,"do":"…",…}; there is neither `hello` nor `id`
    {"do":"activity"}
      a frame is {"hello":{…}} or {"id":7,"do":"…",…}; there is neither `hello` nor `id`
    {"id":7}
      [7] a frame is {"hello":{…}} or {"id":7,"do":"…",…}; there is no `do`
    {"id":7,"do":8}
      [7] a frame is {"hello":{…}} or {"id":7,"do":"…",…}; `do` is no text
    {"id":-1,"do":"activity"}
      `id` is a whole number from 0 to 9007199254740991
    {"id":9007199254740992,"do":"activity"}
      `id` is a whole number from 0 to 9007199254740991
    {"id":7,"do":"pickup","enquiry":"enq_00000000000000000000000000000001"}
      [7] there is no command `pickup`; there are `presence.set`, `pick_up`, `decline`, `send`, `typing`, `read`, `note`, `transfer`, `cancel_transfer`, `add_staff`, `remove_staff`, `leave`, `monitor`, `unmonitor`, `join`, `take_over`, `assign`, `hold`, `block`, `close`, `label`, `start`, `history`, `unserved`, `ack`, `activity`, `language`, `opt_out`, `sign_out`
    {"id":7,"do":"pick_up"}
      [7] `pick_up` needs the field `enquiry`
    {"id":7,"do":"pick_up","enquiry":"enq_00000000000000000000000000000001","now":true}
      [7] `pick_up` has no field `now`; it takes `enquiry`
    {"id":7,"do":"pick_up","enquiry":"stf_00000000000000000000000000000001"}
      [7] `pick_up`, field `enquiry`: not an id of the form enq_ followed by 32 hexadecimal digits
    {"id":7,"do":"activity","since":3}
      [7] `activity` has no field `since`; it takes none
    {"id":7,"do":"presence.set","presence":"idle"}
      [7] `presence.set`, field `presence`: unknown variant `idle`, expected `active` or `busy`
    {"id":7,"do":"send","enquiry":"enq_00000000000000000000000000000001","key":"a b","content":{"kind":"text","body":"x"}}
      [7] `send`, field `key`: a key is 1 to 64 printable ASCII characters without spaces
    {"id":7,"do":"send","enquiry":"enq_00000000000000000000000000000001","key":"k","content":{"kind":"text","body":"x","bold":true}}
      [7] `send`, field `content`: unknown field `bold`, expected `body`
    {"id":7,"do":"history","enquiry":"enq_00000000000000000000000000000001","limit":101}
      [7] `history`, field `limit`: a limit is a whole number from 1 to 100
    {"hello":"token"}
      a frame is {"hello":{…}} or {"id":7,"do":"…",…}; `hello` is no object
    {"hello":{"token":"s3cret"},"id":7}
      `frame` has no field `id`; it takes `hello`
    {"hello":{"tokn":"s3cret"}}
      `hello` has no field `tokn`; it takes `token`, `resume`
    "##);
}

const WRONG: [&str; 24] = [
    r"",
    r"hello",
    r"[]",
    r#"{"id":7,"do":"activity"} x"#,
    r#"{"id":7,"id":8,"do":"activity"}"#,
    r#"{"id":7,"do":"note","text":[[[[[[[[[]]]]]]]]]}"#,
    r"{}",
    r#"{"do":"activity"}"#,
    r#"{"id":7}"#,
    r#"{"id":7,"do":8}"#,
    r#"{"id":-1,"do":"activity"}"#,
    r#"{"id":9007199254740992,"do":"activity"}"#,
    r#"{"id":7,"do":"pickup","enquiry":"enq_00000000000000000000000000000001"}"#,
    r#"{"id":7,"do":"pick_up"}"#,
    r#"{"id":7,"do":"pick_up","enquiry":"enq_00000000000000000000000000000001","now":true}"#,
    r#"{"id":7,"do":"pick_up","enquiry":"stf_00000000000000000000000000000001"}"#,
    r#"{"id":7,"do":"activity","since":3}"#,
    r#"{"id":7,"do":"presence.set","presence":"idle"}"#,
    r#"{"id":7,"do":"send","enquiry":"enq_00000000000000000000000000000001","key":"a b","content":{"kind":"text","body":"x"}}"#,
    r#"{"id":7,"do":"send","enquiry":"enq_00000000000000000000000000000001","key":"k","content":{"kind":"text","body":"x","bold":true}}"#,
    r#"{"id":7,"do":"history","enquiry":"enq_00000000000000000000000000000001","limit":101}"#,
    r#"{"hello":"token"}"#,
    r#"{"hello":{"token":"s3cret"},"id":7}"#,
    r#"{"hello":{"tokn":"s3cret"}}"#,
];

#[test]
fn a_frame_may_be_64_kib_and_no_larger() {
    let frame = |bytes: usize| {
        let bare =
            r#"{"id":7,"do":"note","enquiry":"enq_00000000000000000000000000000001","text":""}"#;
        bare.replace("\"\"", &format!("\"{}\"", "x".repeat(bytes - bare.len())))
    };
    assert!(parse_client(&frame(FRAME_BYTES_MAX)).is_ok());
    let refused = parse_client(&frame(FRAME_BYTES_MAX + 1)).unwrap_err();
    assert_eq!(refused.fault, Fault::TooLarge { bytes: FRAME_BYTES_MAX + 1 });
    assert_eq!((refused.answer(), refused.close()), (None, Close::TooLarge));
}

#[test]
fn a_numbered_mistake_is_answered_and_an_unnumbered_one_ends_the_connection() {
    let numbered = parse_client(r#"{"id":7,"do":"pick_up"}"#).unwrap_err();
    insta::assert_snapshot!(
        numbered.answer().unwrap().encode(),
        @r#"{"re":7,"error":{"code":"malformed","text":"`pick_up` needs the field `enquiry`","retry":false}}"#
    );
    let unnumbered = parse_client(r#"{"do":"pick_up"}"#).unwrap_err();
    assert_eq!((unnumbered.answer(), unnumbered.close()), (None, Close::Malformed));
}

#[test]
fn a_token_is_not_printed() {
    let text = format!("{:?}", parse_client(r#"{"hello":{"token":"s3cret"}}"#));
    assert!(text.contains("Token(…)") && !text.contains("s3cret"), "{text}");
}

#[test]
fn the_largest_id_is_what_javascript_can_count() {
    let frame = format!(r#"{{"id":{ID_MAX},"do":"activity"}}"#);
    assert!(parse_client(&frame).is_ok());
}
