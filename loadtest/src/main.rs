//! The program `usher-loadtest`.

use std::process::ExitCode;

fn main() -> ExitCode {
    usher_loadtest::cli::main()
}
