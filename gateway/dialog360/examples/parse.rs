//! Prints what the parser makes of webhook bodies in files.

#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

use std::{env, fs};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for path in env::args().skip(1) {
        println!("== {path}");
        for update in dialog360::inbound::parse(&fs::read(&path)?)? {
            println!("{update:#?}");
        }
    }
    Ok(())
}
