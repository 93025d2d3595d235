//! The oracle against answers worked out by hand.

use millpond_bench::oracle::Oracle;

fn created(id: &str, timestamp: u64, user: &str, name: &str) -> String {
    format!(r#"{{"id":"{id}","type":"user-created","timestamp":{timestamp},"user":{{"id":"{user}","name":"{name}"}}}}"#)
}

fn logged_in(id: &str, timestamp: u64, user: &str) -> String {
    format!(r#"{{"id":"{id}","type":"user-loggedIn","timestamp":{timestamp},"user":{{"id":"{user}"}}}}"#)
}

fn ordered(id: &str, timestamp: u64, user: &str) -> String {
    format!(r#"{{"id":"{id}","type":"order-submitted","timestamp":{timestamp},"order":{{"userId":"{user}"}}}}"#)
}

fn check(lines: &[String], expected: &[&str]) -> anyhow::Result<()> {
    for forwards in [true, false] {
        let mut oracle = Oracle::new();
        let mut take = |line: &String| oracle.take(line);
        if forwards {
            lines.iter().try_for_each(&mut take)?;
        } else {
            lines.iter().rev().try_for_each(&mut take)?;
        }
        assert_eq!(oracle.views().collect::<Vec<_>>(), expected);
    }
    Ok(())
}

#[test]
fn a_view_has_its_fields_in_this_order() -> anyhow::Result<()> {
    check(
        &[created("a", 5, "u1", "Fred"), logged_in("b", 7, "u1"), logged_in("c", 6, "u1"), ordered("d", 9, "u1")],
        &[r#"{"id":"u1","name":"Fred","lastLogin":7,"recentOrderCount":1}"#],
    )
}

#[test]
fn fields_without_events_have_their_defaults() -> anyhow::Result<()> {
    check(
        &[ordered("a", 5, "u1"), created("b", 6, "u2", "Ada")],
        &[
            r#"{"id":"u1","name":"**NOT SET**","lastLogin":0,"recentOrderCount":1}"#,
            r#"{"id":"u2","name":"Ada","lastLogin":0,"recentOrderCount":0}"#,
        ],
    )
}

#[test]
fn the_latest_name_stays_and_the_id_decides_within_a_millisecond() -> anyhow::Result<()> {
    check(
        &[created("z", 5, "u1", "Old"), created("b", 6, "u1", "A new one"), created("a", 6, "u1", "Other")],
        &[r#"{"id":"u1","name":"A new one","lastLogin":0,"recentOrderCount":0}"#],
    )
}

#[test]
fn keys_come_in_the_order_of_their_bytes_and_names_are_escaped() -> anyhow::Result<()> {
    check(
        &[ordered("a", 1, "u9"), ordered("b", 1, "u10"), created("c", 1, "é", r#"Zoë \"Zo\" \u00e9"#)],
        &[
            r#"{"id":"u10","name":"**NOT SET**","lastLogin":0,"recentOrderCount":1}"#,
            r#"{"id":"u9","name":"**NOT SET**","lastLogin":0,"recentOrderCount":1}"#,
            r#"{"id":"é","name":"Zoë \"Zo\" é","lastLogin":0,"recentOrderCount":0}"#,
        ],
    )
}

#[test]
fn a_second_delivery_counts_as_a_duplicate_only() -> anyhow::Result<()> {
    let mut oracle = Oracle::new();
    for id in ["a", "b", "a", "a"] {
        oracle.take(&ordered(id, 1, "u1"))?;
    }
    assert_eq!((oracle.distinct(), oracle.duplicates()), (2, 2));
    assert!(oracle.views().eq([r#"{"id":"u1","name":"**NOT SET**","lastLogin":0,"recentOrderCount":2}"#]));
    Ok(())
}

#[test]
fn what_is_no_event_is_an_error_and_changes_nothing() {
    let mut oracle = Oracle::new();
    let other_type = r#"{"id":"a","type":"other","timestamp":1}"#;
    let no_key = r#"{"id":"a","type":"user-loggedIn","timestamp":1}"#;
    let no_name = r#"{"id":"a","type":"user-created","timestamp":1,"user":{"id":"u1"}}"#;
    for line in ["", "{", "[]", other_type, no_key, no_name] {
        assert!(oracle.take(line).is_err(), "{line}");
    }
    assert_eq!((oracle.distinct(), oracle.duplicates(), oracle.views().count()), (0, 0, 0));
}
