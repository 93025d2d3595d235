//! The demo: served, fed, and gone at the end.

use std::process::Stdio;

use crate::common::{Home, user_activity};
use crate::server::{first_line, interrupt};

#[test]
fn the_demo_serves_made_up_events_and_leaves_nothing_behind() {
    let home = Home::new(&user_activity("7d", 100));
    std::fs::create_dir(home.path("tmp")).unwrap();
    let mut command = home.command("demo --listen 127.0.0.1:0 --rate 500");
    let mut demo = command.env("TMPDIR", home.path("tmp")).stdout(Stdio::piped()).spawn().unwrap();
    let (_out, said) = first_line(&mut demo);
    let url = said.trim_end().strip_prefix("Look: ").unwrap().trim_end_matches('/').to_owned();
    let views = || home.millpond(&format!("view user-activity --server {url}")).ok();
    while views().lines().count() < 3 {}
    assert!(interrupt(demo).success());
    assert_eq!(std::fs::read_dir(home.path("tmp")).unwrap().count(), 0);
    home.millpond(&format!("view user-activity --server {url}")).fails(1, &["millpond serve"]);
}
