//! Which crate may use what: the rules of ARCHITECTURE.md, checked against the resolved tree.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// A crate of ours, and what must not be among all that it builds upon.
const NEVER: [(&str, &[&str]); 4] = [
    (
        "millpond-core",
        &["tokio", "async-std", "smol", "fjall", "axum", "hyper", "aws-*", "rand", "getrandom", "millpond-store"],
    ),
    ("millpond-store", &["tokio", "async-std", "smol", "axum", "hyper", "aws-*"]),
    ("millpond", &["aws-*", "lambda_runtime"]),
    ("millpond-testkit", &["tokio", "fjall", "axum", "aws-*", "millpond-store", "millpond"]),
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
    let tree = Tree::read()?;
    let mut faults = Vec::new();
    for (name, never) in NEVER {
        for used in tree.all_below(name)? {
            if never.iter().any(|rule| matches(rule, used)) {
                faults.push(format!("`{name}` must not build upon `{used}`"));
            }
        }
    }
    for used in tree.all_below("millpond")? {
        let licence = tree.licences.get(used).map_or("", String::as_str);
        if !allowed(licence) {
            faults.push(format!("`{used}` has the licence `{licence}`, which is not on the list"));
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

/// The resolved packages by name, without the dependencies of tests and build scripts.
struct Tree {
    below: BTreeMap<String, BTreeSet<String>>,
    licences: BTreeMap<String, String>,
}

impl Tree {
    fn read() -> Result<Self> {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"])
            .output()?;
        ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut names = BTreeMap::new();
        let mut licences = BTreeMap::new();
        for package in metadata["packages"].as_array().context("no packages")? {
            names.insert(text(&package["id"]), text(&package["name"]));
            licences.insert(text(&package["name"]), text(&package["license"]));
        }
        let mut below: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for node in metadata["resolve"]["nodes"].as_array().context("no nodes")? {
            let used = below.entry(names[&text(&node["id"])].clone()).or_default();
            for dependency in node["deps"].as_array().context("no deps")? {
                let kinds = dependency["dep_kinds"].as_array().context("no kinds")?;
                if kinds.iter().any(|kind| kind["kind"].is_null()) {
                    used.insert(names[&text(&dependency["pkg"])].clone());
                }
            }
        }
        Ok(Self { below, licences })
    }

    fn all_below(&self, name: &str) -> Result<BTreeSet<&str>> {
        let mut found = BTreeSet::new();
        let mut open = vec![self.below.get_key_value(name).with_context(|| format!("no crate `{name}`"))?.0.as_str()];
        while let Some(next) = open.pop() {
            for used in self.below.get(next).into_iter().flatten() {
                if found.insert(used.as_str()) {
                    open.push(used);
                }
            }
        }
        Ok(found)
    }
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
