//! Definitions: each fault with its line and the words that help, and what a fingerprint notices.

use std::fmt::Write as _;

use millpond_core::{Faults, Join};
use millpond_testkit::events::ALL_FOLDS;
use millpond_testkit::runner;
use proptest::prelude::*;

const GOOD: &str = r#"name     = "user-activity"
lateness = "7d"
snapshot_every = 100

[key]
"user-created"    = "user.id"
"user-loggedIn"   = "user.id"
"order-submitted" = "order.userId"

[view]
name             = { latest = "user.name", of = "user-created", default = "**NOT SET**" }
lastLogin        = { max = "timestamp", of = "user-loggedIn", default = 0 }
recentOrderCount = { count = "order-submitted" }
"#;

fn faults(definition: &str) -> Faults {
    Join::parse(definition).map(|join| panic!("`{}` is refused", join.source_text())).expect_err("it is refused")
}

/// `GOOD` with one of its parts replaced is refused with one fault: on this line, with these words.
fn check(part: &str, by: &str, line: usize, words: &[&str]) {
    assert!(GOOD.contains(part), "{part}");
    let found = faults(&GOOD.replacen(part, by, 1));
    assert_eq!(found.0.len(), 1, "{by}: {found}");
    assert_eq!(found.0[0].line, line, "{by}: {found}");
    for word in words {
        assert!(found.0[0].message.contains(word), "{by}: expected `{word}` in: {found}");
    }
}

#[test]
fn each_fault_of_the_head_is_named_with_its_line() {
    check("name     = \"user-activity\"\n", "\n", 1, &["`name` is missing", "name = \"user-activity\""]);
    check("\"user-activity\"", "\"User Activity\"", 1, &["`User Activity` cannot name a join", "a-z"]);
    check("\"user-activity\"", "\"-x\"", 1, &["a letter or digit first"]);
    check("\"user-activity\"", "\"\"", 1, &["cannot name a join"]);
    check("\"user-activity\"", &format!("\"{}\"", "n".repeat(65)), 1, &["at most 64"]);
    check("\"user-activity\"", "7", 1, &["`name` is a whole number; expected a string"]);
    check("\"7d\"", "\"7 weeks\"", 2, &["`7 weeks` is no duration", "ms, s, m, h, d", "`7d`"]);
    check("\"7d\"", "\"d\"", 2, &["`d` is no duration"]);
    check("\"7d\"", "\"7\"", 2, &["`7` is no duration"]);
    check("\"7d\"", "\"-7d\"", 2, &["`-7d` is no duration"]);
    check("\"7d\"", "\"99999999999999999999d\"", 2, &["is no duration"]);
    check("\"7d\"", "\"3651d\"", 2, &["at most 3650d"]);
    check("\"7d\"", "7", 2, &["`lateness` is a whole number; expected a string"]);
    check("= 100", "= 0", 3, &["`snapshot_every` is 0", "from 1 to 1000000"]);
    check("= 100", "= 1000001", 3, &["`snapshot_every` is 1000001"]);
    check("= 100", "= \"100\"", 3, &["`snapshot_every` is a string; expected a whole number"]);
    check("= 100", "= 1.5", 3, &["`snapshot_every` is a number; expected a whole number"]);
    check("snapshot_every", "snapshotEvery", 3, &["`snapshotEvery` is no part", "did you mean `snapshot_every`?"]);
    check("lateness", "latenes", 2, &["`latenes` is no part", "did you mean `lateness`?"]);
}

#[test]
fn each_fault_of_the_keys_is_named_with_its_line() {
    check("\"order.userId\"", "\"order..userId\"", 8, &["`order..userId` is no path", "a segment is empty"]);
    check("\"order.userId\"", "\"order user\"", 8, &["has a space in it; quote it"]);
    check("\"order.userId\"", "\"\"", 8, &["is no path"]);
    check("\"order.userId\"", "'\"open'", 8, &["a quoted segment does not end"]);
    check("\"order.userId\"", &format!("\"{}x\"", "x.".repeat(16)), 8, &["at most 16 segments, this one has 17"]);
    check("\"order.userId\"", "[]", 8, &["`order-submitted` has 0 key paths; expected 1 to 8"]);
    check("\"order.userId\"", &format!("[{}]", "\"a\",".repeat(9)), 8, &["has 9 key paths"]);
    check("\"order.userId\"", "true", 8, &["is true or false; expected a string"]);
    check("\"order.userId\"", "[1]", 8, &["a key path is a whole number; expected a string"]);
    check("\"order.userId\"", "{ path = \"x\" }", 8, &["is a table; expected a string"]);
}

#[test]
fn each_fault_of_the_view_is_named_with_its_line() {
    check("latest =", "lates =", 11, &["field `name` has no fold", "`lates` is none; did you mean `latest`?"]);
    check("count = \"order-submitted\"", "", 13, &["has no fold", "`count`", "`exists`"]);
    check("count =", "total =", 13, &["`total` is none", "expected one of `latest`"]);
    check("max =", "latest = \"user.name\", max =", 12, &["two folds, `latest` and `max`"]);
    check("\"user.name\"", "\".name\"", 11, &["`.name` is no path"]);
    check("\"user.name\"", "7", 11, &["`latest` is a whole number; expected a string"]);
    check(
        "of = \"user-created\"",
        "of = \"user-creatd\"",
        11,
        &["`of` names `user-creatd`", "did you mean `user-created`?"],
    );
    check("of = \"user-created\"", "of = []", 11, &["`of` names no event type"]);
    check("of = \"user-created\"", "of = 3", 11, &["`of` is a whole number; expected a string"]);
    check(
        "of = \"user-created\"",
        "off = \"user-created\"",
        11,
        &["`off` is no option of `latest`", "did you mean `of`?"],
    );
    check("\"order-submitted\" }", "\"orders\" }", 13, &["`count` names `orders`", "`order-submitted`"]);
    check(
        "\"order-submitted\" }",
        "\"order-submitted\", of = \"user-created\" }",
        13,
        &["`count` names its event types itself; remove `of`"],
    );
    check(
        "\"order-submitted\" }",
        "\"order-submitted\", default = 0 }",
        13,
        &["`count` always has a value (0 at first); remove `default`"],
    );
    check(
        "count = \"order-submitted\"",
        "exists = \"order-submitted\", default = false",
        13,
        &["(false at first); remove `default`"],
    );
    check(
        "count = \"order-submitted\"",
        "list = \"id\", last = 0",
        13,
        &["`last` is 0; expected a whole number from 1 to 1000"],
    );
    check("count = \"order-submitted\"", "set = \"id\", max = 1001", 13, &["`max` is 1001", "from 1 to 1000"]);
    check("count = \"order-submitted\"", "set = \"id\", last = 3", 13, &["`last` is no option of `set`"]);
    check("count = \"order-submitted\"", "list = \"id\", max = 3", 13, &["two folds, `list` and `max`"]);
    check("count = \"order-submitted\"", "sum = \"n\", default = 1", 13, &["`sum` always has a value"]);
    check(
        "count = \"order-submitted\"",
        "list = \"n\", last = 3, default = []",
        13,
        &["`list` always has a value ([] at"],
    );
    check(
        "count = \"order-submitted\"",
        "set = \"n\", max = 3, default = []",
        13,
        &["`set` always has a value ([] at"],
    );
    check("default = 0", "default = nan", 12, &["`default` is no number that JSON has"]);
    check("default = 0", "default = -inf", 12, &["`default` is no number that JSON has"]);
    check("default = 0", "default = [1, 2026-01-31]", 12, &["`default` is a date", "write it as a string"]);
    check("default = 0", "where = \"event.x >\"", 12, &["`where`: not a CEL expression"]);
    check("default = 0", "where = \"order.x > 1\"", 12, &["`order` is unknown", "as in `event.order`"]);
    check("default = 0", "where = \"event.a.startswith('x')\"", 12, &["did you mean `startsWith`?"]);
    check("default = 0", "where = 1", 12, &["`where` is a whole number; expected a string"]);
    check("default = 0", &format!("where = \"{}\"", "(".repeat(40)), 12, &["brackets nest deeper than 32"]);
    check("lastLogin", "id", 12, &["`id` is the key's own place"]);
    check("lastLogin", "_more", 12, &["`_more` begins with `_`"]);
    check("lastLogin", "\"last login\"", 12, &["`last login` cannot name a field"]);
    check("lastLogin", "\"\"", 12, &["cannot name a field"]);
    check(
        "{ count = \"order-submitted\" }",
        "\"order-submitted\"",
        13,
        &["field `recentOrderCount` is a string; expected a table"],
    );
    check("lastLogin ", "name ", 12, &["not TOML", "duplicate key"]);
    check("lastLogin ", "name x", 12, &["not TOML"]);
}

#[test]
fn missing_and_empty_parts_come_with_an_example() {
    let find = |definition: &str, line: usize, words: &str| {
        let found = faults(definition);
        assert!(found.0.iter().any(|fault| fault.line == line && fault.message.contains(words)), "{words}: {found}");
    };
    find("", 1, "`name` is missing");
    find("", 1, "`[key]` is missing; expected `[key]` with a line an event type");
    find("", 1, "`[view]` is missing; expected `[view]` with a line a field");
    find("name = \"n\"\n[key]\n[view]\n", 2, "`[key]` is empty; expected");
    find("name = \"n\"\n[key]\n[view]\n", 3, "`[view]` is empty; expected");
    find("name = \"n\"\nkey = 1\nview = []\n", 2, "`key` is a whole number; expected a table");
    find("name = \"n\"\nkey = 1\nview = []\n", 3, "`view` is a list; expected a table");
    find("{\"json\": true}", 1, "not TOML");
    find("name = \"n\n", 1, "not TOML");
    find(&format!("name = \"n\"\nx = {}{}", "[".repeat(5000), "]".repeat(5000)), 2, "not TOML");
    find("[key]\n\"\" = \"x\"", 2, "an event type has 1 to 256 bytes");
}

#[test]
fn a_missing_key_part_is_not_reported_once_for_each_field() {
    let found = faults("name = \"n\"\n[view]\na = { count = \"t\" }\nb = { latest = \"v\", of = \"t\" }\n");
    assert_eq!(found.0.len(), 1, "{found}");
}

#[test]
fn sizes_are_bounded() {
    let mut many = String::from("name = \"n\"\n[key]\n");
    (0..65).for_each(|n| writeln!(many, "t{n} = \"k\"").unwrap());
    let found = faults(&format!("{many}[view]\nx = {{ count = \"t1\" }}\n"));
    assert!(found.0[0].line == 2 && found.0[0].message.contains("65 event types; at most 64"), "{found}");

    let mut many = String::from("name = \"n\"\n[key]\nt = \"k\"\n[view]\n");
    (0..65).for_each(|n| writeln!(many, "f{n} = {{ count = \"t\" }}").unwrap());
    let found = faults(&many);
    assert!(found.0[0].line == 4 && found.0[0].message.contains("65 fields; at most 64"), "{found}");

    let found = faults(&format!("{GOOD}# {}", "x".repeat(64 * 1024)));
    assert!(found.0[0].message.contains("at most 65536"), "{found}");
}

/// Untrusted text may nest without any bracket: dotted keys and headers make tables too.
#[test]
fn deep_nesting_of_any_kind_is_refused_or_read_without_harm() {
    let dotted = "a.".repeat(30_000) + "a";
    for definition in [
        format!("{dotted} = 1"),
        format!("[{dotted}]"),
        format!("[[{dotted}]]"),
        format!("x = {{ {dotted} = 1 }}"),
        format!("x = {}1", "[".repeat(60_000)),
        format!("x = {}", "{a=".repeat(20_000)),
        format!("[view.x]\ndefault.{dotted} = 1"),
        GOOD.replace("default = 0", &format!("default = {}{}", "[".repeat(70), "]".repeat(70))),
    ] {
        let _ = Join::parse(&definition).map(|join| join.fingerprint());
    }
}

#[test]
fn all_faults_are_reported_at_once_in_the_order_of_lines() {
    let found = faults(
        r#"nam = "x"
lateness = "soon"
[key]
a = "k"
b = "k..k"
[view]
one = { latest = "x y", of = "c", where = "event.", default = nan }
two = { cuont = "a" }
_three = { count = "z" }
"#,
    );
    let lines: Vec<usize> = found.0.iter().map(|fault| fault.line).collect();
    assert_eq!(lines, [1, 1, 2, 5, 7, 7, 7, 7, 8, 9, 9], "{found}");
    let columns: Vec<usize> = found.0.iter().filter(|fault| fault.line == 7).map(|fault| fault.column).collect();
    assert!(columns.is_sorted() && columns[0] > 1, "{columns:?}");
    assert!(found.to_string().starts_with("line 1, column 1: `"), "{found}");
    assert_eq!(found.to_string().lines().count(), 11);
}

#[test]
fn columns_count_characters() {
    let found = faults(&GOOD.replace("default = \"**NOT SET**\"", "default = \"ééé\", x = 1"));
    assert_eq!((found.0[0].line, found.0[0].column), (11, 82), "{found}");
}

#[test]
fn good_definitions_are_read_as_they_are_written() {
    let join = Join::parse(GOOD).unwrap();
    assert_eq!((join.name(), join.lateness_ms(), join.snapshot_every()), ("user-activity", 7 * 86_400_000, 100));
    assert_eq!(join.type_names().collect::<Vec<_>>(), ["order-submitted", "user-created", "user-loggedIn"]);
    let shown: Vec<&str> = join.shown_fields().map(|(_, field)| field.name.as_str()).collect();
    assert_eq!(shown, ["name", "lastLogin", "recentOrderCount"], "the author's order");
    assert!(join.fields().is_sorted_by_key(|field| &field.name));
    let sources: Vec<_> =
        join.shown_fields().map(|(_, field)| field.value.as_ref().map(|value| join.shown(value))).collect();
    assert_eq!(sources, [Some("user.name".into()), Some("timestamp".into()), None]);
    let again = Join::parse(join.source_text()).unwrap();
    assert_eq!(again.fingerprint(), join.fingerprint());
}

#[test]
fn defaults_of_the_head_are_a_week_and_a_hundred() {
    let join = Join::parse("name='n'\nkey.t='k'\nview.x={count='t'}").unwrap();
    assert_eq!((join.lateness_ms(), join.snapshot_every()), (7 * 86_400_000, 100));
    for (lateness, ms) in
        [("0s", 0), ("5ms", 5), ("90s", 90_000), ("5m", 300_000), ("2 h", 7_200_000), ("3650d", 315_360_000_000)]
    {
        let join = Join::parse(&GOOD.replace("7d", lateness)).unwrap();
        assert_eq!(join.lateness_ms(), ms, "{lateness}");
    }
}

/// A base with a fold of each bounded kind, for fingerprints.
const PRINTED: &str = r#"
name = "n"
[key]
a = "k"
b = ["k", "l"]
[view]
x = { latest = "v", of = "a", where = "event.v > 1", default = 1 }
y = { list = "v", last = 3 }
z = { set = "timestamp", max = 3 }
"#;

#[test]
fn the_fingerprint_stays_when_states_stay() {
    let print = |definition: &str| Join::parse(definition).unwrap_or_else(|faults| panic!("{faults}")).fingerprint();
    for (part, by) in [
        ("\"n\"", "\"other\""),
        ("default = 1", "default = [2]"),
        (", default = 1", ""),
        ("[key]", "lateness = \"1h\"\nsnapshot_every = 7\n[key] # comment"),
        ("\"k\"", "\"\\u006b\""),
        ("y = { list = \"v\", last = 3 }\n", ""),
    ] {
        let mut changed = PRINTED.replacen(part, by, 1);
        if by.is_empty() && part.starts_with('y') {
            changed.push_str(part); // the order of fields
        }
        assert_eq!(print(&changed), print(PRINTED), "{part} -> {by}");
    }
    assert_eq!(
        print(&PRINTED.replace("y = { list = \"v\"", "y = { of = [\"b\", \"a\", \"b\"], list = \"v\"")),
        print(PRINTED)
    );
    assert_eq!(
        print(&PRINTED.replace("a = \"k\"\nb = [\"k\", \"l\"]", "b = [\"k\", \"l\"]\na = [\"k\"]")),
        print(PRINTED)
    );
    assert_eq!(print(PRINTED).to_string().len(), 32);
}

#[test]
fn the_fingerprint_notices_whatever_changes_states() {
    let print = |definition: &str| Join::parse(definition).unwrap_or_else(|faults| panic!("{faults}")).fingerprint();
    let mut prints = vec![print(PRINTED)];
    for (part, by) in [
        ("latest =", "first ="),
        ("of = \"a\"", "of = \"b\""),
        (", of = \"a\"", ""),
        ("event.v > 1", "event.v > 2"),
        (", where = \"event.v > 1\"", ""),
        ("latest = \"v\"", "latest = \"w\""),
        ("latest = \"v\"", "latest = \"id\""),
        ("latest = \"v\"", "latest = '\"id\"'"),
        ("latest = \"v\"", "latest = '\"timestamp\"'"),
        ("latest = \"v\"", "latest = \"timestamp\""),
        ("a = \"k\"", "a = \"k.k\""),
        ("[\"k\", \"l\"]", "[\"k\"]"),
        ("[key]", "[key]\nc = \"k\""),
        ("last = 3", "last = 4"),
        ("max = 3", "max = 4"),
        ("x =", "xx ="),
        ("[view]", "[view]\nw = { count = \"a\" }"),
    ] {
        assert!(PRINTED.contains(part), "{part}");
        prints.push(print(&PRINTED.replacen(part, by, 1)));
    }
    let distinct: std::collections::HashSet<_> = prints.iter().collect();
    assert_eq!(distinct.len(), prints.len(), "{prints:?}");
}

#[test]
fn no_text_makes_the_parser_panic() {
    let pieces = proptest::sample::select(
        &[
            "name",
            "key",
            "view",
            " = ",
            "\"",
            "'",
            "{",
            "}",
            "[",
            "]",
            "\n",
            ".",
            ",",
            "latest",
            "count",
            "where",
            "max",
            "event",
            "é",
            "0",
            "1979-05-27",
            "nan",
            "\\u0",
            "#",
            "a.b",
            "(",
            "7d",
        ][..],
    );
    let garbage =
        prop_oneof![any::<String>(), proptest::collection::vec(pieces, 0..60).prop_map(|pieces| pieces.concat())];
    let parsed = runner(600).run(&garbage, |text| {
        if let Err(faults) = Join::parse(&text) {
            prop_assert!(!faults.0.is_empty());
            prop_assert!(faults.0.iter().all(|fault| fault.line >= 1 && fault.column >= 1));
            prop_assert!(faults.0.is_sorted_by_key(|fault| (fault.line, fault.column)));
        }
        Ok(())
    });
    parsed.unwrap();
}

#[test]
fn no_mutation_of_a_good_definition_makes_the_parser_panic() {
    let cut = (
        0..2usize,
        any::<u16>(),
        0..12usize,
        prop_oneof![Just(String::new()), "\\PC{1,3}", Just("\"".into()), Just("{".into())],
    );
    let mutations = proptest::collection::vec(cut, 1..4);
    let parsed = runner(600).run(&mutations, |mutations| {
        let mut text: Vec<char> = [GOOD, ALL_FOLDS][mutations[0].0].chars().collect();
        for (_, place, len, by) in mutations {
            let start = usize::from(place) % text.len();
            let end = (start + len).min(text.len());
            text.splice(start..end, by.chars());
        }
        let text = String::from_iter(text);
        match Join::parse(&text) {
            Ok(join) => {
                prop_assert_eq!(Join::parse(join.source_text()).map(|join| join.fingerprint()), Ok(join.fingerprint()))
            }
            Err(faults) => prop_assert!(!faults.0.is_empty()),
        }
        Ok(())
    });
    parsed.unwrap();
}

/// The documented bounds are those that are kept: a definition at one is taken, and one beyond is not.
#[test]
fn what_is_just_at_a_bound_is_taken() {
    let taken = |part: &str, by: &str| {
        assert!(GOOD.contains(part), "{part}");
        let parsed = Join::parse(&GOOD.replacen(part, by, 1));
        assert!(parsed.is_ok(), "{by}: {}", parsed.map(drop).expect_err("it is refused"));
    };
    taken("\"user-activity\"", &format!("\"{}\"", "n".repeat(64)));
    taken("\"user-activity\"", "\"7_a-b\"");
    taken("= \"user.id\"", "= [\"a\", \"b\", \"c\", \"d\", \"e\", \"f\", \"g\", \"h\"]");
    taken("= \"user.id\"", &format!("= \"{}\"", ["a"; 16].join(".")));
    taken("recentOrderCount", &"f".repeat(64));
    let of =
        |bytes: usize| format!("{{ count = \"order-submitted\", where = \"event.n > {}\" }}", "1".repeat(bytes - 10));
    taken("{ count = \"order-submitted\" }", &of(26));
    let condition = |bytes: usize| {
        let more = " || true".repeat((bytes - 9) / 8) + &" ".repeat((bytes - 9) % 8);
        format!("{{ count = \"order-submitted\", where = \"event.n>1{more}\" }}")
    };
    taken("{ count = \"order-submitted\" }", &condition(1024));
    check("{ count = \"order-submitted\" }", &condition(1025), 13, &["1025 bytes; at most 1024"]);

    let kind = format!("\"{}\"", "t".repeat(256));
    taken("\"user-loggedIn\"   =", &format!("{kind} = \"user.id\"\n\"user-loggedIn\" ="));
    let types = (0..61).fold(String::new(), |lines, n| lines + &format!("\"t{n}\" = \"k\"\n"));
    taken("\"user-created\"    =", &format!("{types}\"user-created\" ="));
    let fields = (0..61).fold(String::new(), |lines, n| lines + &format!("f{n} = {{ count = \"order-submitted\" }}\n"));
    taken("recentOrderCount", &format!("{fields}recentOrderCount"));
    let filled = |bytes: usize| format!("{GOOD}#{}", "-".repeat(bytes - GOOD.len() - 1));
    assert!(Join::parse(&filled(64 * 1024)).is_ok());
    assert!(faults(&filled(64 * 1024 + 1)).to_string().contains("at most 65536"));
}

#[test]
fn what_stands_behind_a_path_is_refused() {
    check("\"user.id\"\n\"user-loggedIn\"", "'user.\"id\"x'\n\"user-loggedIn\"", 6, &["expected `.` before `x`"]);
}
