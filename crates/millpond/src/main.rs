//! The `millpond` command.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    millpond::main()
}
