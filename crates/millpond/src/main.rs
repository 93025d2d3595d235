//! The `millpond` command.
#![forbid(unsafe_code)]

/// What one thread allocates is given back by another: the C library's allocator keeps twice as much
/// of it, more each minute.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    millpond::main()
}
