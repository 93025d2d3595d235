//! Which crate may use what: the rules of ARCHITECTURE.md, checked against the resolved tree.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// A crate of ours, and what must not be among all that it builds upon.
const NEVER: [(&str, &[&str]); 7] = [
    (
        "millpond-core",
        &["tokio", "async-std", "smol", "fjall", "axum", "hyper", "aws-*", "rand", "getrandom", "millpond-store"],
    ),
    ("millpond-store", &["tokio", "async-std", "smol", "axum", "hyper", "aws-*"]),
    ("millpond-client", &["fjall", "axum", "aws-*", "millpond-core", "millpond-store", "millpond"]),
    ("millpond", &["aws-*", "lambda_runtime"]),
    (
        "millpond-aws",
        &[
            "fjall",
            "axum",
            "aws-lc-*",
            "dynoxide-rs",
            "millpond-client",
            "millpond-store",
            "millpond",
            "millpond-testkit",
            "millpond-aws-testkit",
        ],
    ),
    ("millpond-testkit", &["tokio", "fjall", "axum", "aws-*", "millpond-store", "millpond"]),
    ("millpond-aws-testkit", &["fjall", "axum", "millpond-client", "millpond-store", "millpond"]),
];

/// Licences that may be linked into the binary; one of an `OR` is enough.
const LICENCES: [&str; 12] = [
    "0BSD",
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Checks rules and licences over what is built for users; tests may use more.
pub(crate) fn check() -> Result<()> {
    let mut faults = Vec::new();
    for (name, never) in NEVER {
        for used in all_below(name)?.keys().filter(|used| *used != name) {
            if never.iter().any(|rule| matches(rule, used)) {
                faults.push(format!("`{name}` must not build upon `{used}`"));
            }
        }
    }
    for program in ["millpond", "millpond-aws"] {
        for (used, licence) in all_below(program)? {
            if !allowed(&licence) {
                faults.push(format!("`{used}` has the licence `{licence}`, which is not on the list"));
            }
        }
    }
    ensure!(faults.is_empty(), "dependency rules are broken:\n  {}", faults.join("\n  "));
    eprintln!("xtask: dependency rules and licences hold");
    Ok(())
}

fn matches(rule: &str, name: &str) -> bool {
    match rule.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == rule,
    }
}

/// `(A OR B) AND C`: of each part joined by AND, one choice must be on the list.
fn allowed(expression: &str) -> bool {
    let plain = expression.replace(['(', ')'], "").replace('/', " OR ");
    plain.split(" AND ").all(|part| part.split(" OR ").any(|choice| LICENCES.contains(&choice.trim())))
}

/// What a crate builds upon, itself among it, and the licence of each: without the dependencies of
/// tests and build scripts, and with the features that this crate alone asks for.
fn all_below(name: &str) -> Result<BTreeMap<String, String>> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--package", name, "--edges", "normal", "--prefix", "none", "--locked"])
        .args(["--target", "x86_64-unknown-linux-gnu", "--format", "{p}\t{l}"])
        .output()?;
    ensure!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout)?;
    lines
        .lines()
        .map(|line| {
            let (package, licence) = line.split_once('\t').with_context(|| format!("not as asked for: {line}"))?;
            let name = package.split(' ').next().unwrap_or(package);
            Ok((name.to_owned(), licence.trim_end_matches(" (*)").to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_need_one_choice_of_each_part() {
        for (expression, right) in [
            ("MIT OR Apache-2.0", true),
            ("(MIT OR GPL-3.0) AND Unicode-3.0", true),
            ("MIT AND GPL-3.0", false),
            ("MIT/Apache-2.0", true),
            ("", false),
        ] {
            assert_eq!(allowed(expression), right, "{expression}");
        }
    }

    #[test]
    fn rules_with_a_star_match_a_family() {
        assert!(matches("aws-*", "aws-sdk-s3") && !matches("aws-*", "aws") && matches("tokio", "tokio"));
    }
}
