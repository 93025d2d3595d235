//! The `millpond-aws` command.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    millpond_aws::cli::main()
}
