//! The frame parser against frames that are nearly right: it never panics, and always says why.

use std::thread;

use usher_protocol::Malformed;
use usher_protocol::frame::{ClientFrame, Hello, Token, parse_client};

use crate::random::Random;
use crate::samples;

const THREADS: u64 = 2;
const MUTATIONS: u64 = 300_000;
/// Longest text said back to a client.
const TEXT_MAX: usize = 1_200;

#[test]
fn no_mutation_of_a_frame_is_too_much() {
    let corpus: Vec<Vec<String>> = corpus().iter().map(|text| tokens(text)).collect();
    let understood: u64 = thread::scope(|scope| {
        let runs: Vec<_> = (0..THREADS)
            .map(|seed| {
                scope.spawn({
                    let corpus = &corpus;
                    move || run(seed, corpus)
                })
            })
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).sum()
    });
    let share = understood * 100 / MUTATIONS;
    assert!((2..80).contains(&share), "{share} % understood: mutations are too strong or too weak");
}

fn run(seed: u64, corpus: &[Vec<String>]) -> u64 {
    let mut random = Random::from_seed(seed);
    let mut understood = 0;
    for _ in 0..MUTATIONS / THREADS {
        let mut frame = corpus[random.index(corpus.len())].clone();
        for _ in 0..=random.below(2) {
            mutate(&mut frame, corpus, &mut random);
        }
        understood += u64::from(judged(&frame.concat()));
    }
    understood
}

/// Whether the text was understood; either way the outcome must make sense.
fn judged(text: &str) -> bool {
    match parse_client(text) {
        Ok(frame) => {
            // The last digit of a coordinate may come back otherwise; everything else is the same.
            let again = parse_client(&frame.encode()).expect("what was read can be written");
            assert!(again == frame || text.contains("itude"), "{text}");
            true
        }
        Err(refused) => {
            let said = refused.to_string();
            assert!((10..TEXT_MAX).contains(&said.len()), "{text}\n{said}");
            assert_answer(&refused, text);
            false
        }
    }
}

fn assert_answer(refused: &Malformed, text: &str) {
    match (refused.id, refused.answer()) {
        (Some(id), Some(answer)) => {
            assert!(answer.encode().starts_with(&format!("{{\"re\":{id},\"error\"")), "{text}");
        }
        (None, None) => {}
        mixed => panic!("{text}: {mixed:?}"),
    }
}

fn corpus() -> Vec<String> {
    let hello = ClientFrame::Hello(Hello { token: Some(Token::new("s3cret")), resume: None });
    let commands =
        samples::commands().into_iter().map(|command| ClientFrame::Command { id: 7, command });
    commands.chain([hello]).map(|frame| frame.encode()).collect()
}

/// Strings whole, everything else character by character or in runs.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut quoted = false;
    for char in text.chars() {
        let begins = char == '"' && !quoted;
        let joins = quoted || (char.is_ascii_alphanumeric() && !tokens.is_empty());
        let after = tokens.last().is_some_and(|last| last.ends_with(char::is_alphanumeric));
        match tokens.last_mut() {
            Some(last) if joins && (quoted || after) => last.push(char),
            _ => tokens.push(char.into()),
        }
        quoted = if begins { true } else { quoted && char != '"' };
    }
    tokens
}

const ODD: [&str; 28] = [
    "null",
    "true",
    "-1",
    "1e400",
    "1.5",
    "18446744073709551616",
    "9007199254740992",
    "\"\"",
    "\"\\ud800\"",
    "\"\\u0000\"",
    "\"enq_\"",
    "\"enq_0000000000000000000000000000000g\"",
    "{}",
    "[]",
    "[[[[[[[[[[",
    "{\"a\":{\"a\":{\"a\":",
    "\"hello\"",
    "\"do\"",
    "\"id\"",
    "\"key\"",
    "\"text\"",
    "\"kind\"",
    "\u{feff}",
    "\u{0}",
    "é",
    "\\",
    " ",
    "\"presence.set\"",
];

fn mutate(frame: &mut Vec<String>, corpus: &[Vec<String>], random: &mut Random) {
    if frame.is_empty() {
        return;
    }
    let at = random.index(frame.len());
    let other = random.index(frame.len());
    match random.below(8) {
        0 => drop(frame.remove(at)),
        1 => frame.insert(at, frame[other].clone()),
        2 => frame.swap(at, other),
        3 | 4 => frame[at] = ODD[random.index(ODD.len())].into(),
        5 => {
            // Something of the same sort from another frame.
            let donor = &corpus[random.index(corpus.len())];
            let sort = |token: &String| token.as_bytes().first().copied();
            let mut like = donor.iter().filter(|token| sort(token) == sort(&frame[at]));
            if let Some(token) = like.nth(random.index(8)).cloned() {
                frame[at] = token;
            }
        }
        6 => frame.truncate(at),
        _ => scratch(&mut frame[at], random),
    }
}

/// One character of a token becomes another.
fn scratch(token: &mut String, random: &mut Random) {
    let mut chars: Vec<char> = token.chars().collect();
    let at = random.index(chars.len().max(1));
    if let Some(char) = chars.get_mut(at) {
        *char = char::from_u32(u32::try_from(random.below(0x180)).unwrap()).unwrap_or('x');
    }
    *token = chars.into_iter().collect();
}
