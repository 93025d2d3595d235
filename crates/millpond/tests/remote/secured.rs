//! A server behind TLS and tokens: who is trusted, and who is let in.

use crate::common::{Home, user_activity};
use crate::order;
use crate::server::Server;

#[test]
fn a_certificate_authority_and_a_token_are_enough_and_neither_can_be_left_out() {
    let home = Home::new(&user_activity("7d", 100));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    home.write("cert.pem", made.cert.pem());
    home.write("key.pem", made.signing_key.serialize_pem());
    let token = home.millpond("token add all --scope ingest --scope read --scope admin --data served").ok();
    let token = token.split_whitespace().find(|word| word.starts_with("mp_")).unwrap_or_else(|| panic!("{token}"));
    home.write("token", format!("{token}\n"));
    let server = Server::start_with(&home, "--tls-cert cert.pem --tls-key key.pem");
    let url = server.url.replace("127.0.0.1", "localhost");
    home.write("events", order(1, "ann"));

    home.millpond(&format!("put events --server {url} --ca cert.pem --token-file token")).ok();
    let view = format!("view user-activity ann --server {url}");
    assert!(home.millpond(&format!("{view} --ca cert.pem --token {token}")).ok().contains("\"recentOrderCount\":1"));
    home.millpond(&format!("{view} --ca cert.pem")).fails(1, &["token"]);
    let said = home.millpond(&format!("{view} --ca cert.pem --token mp_wrong")).fails(1, &["token"]);
    assert!(!said.contains("mp_wrong"), "{said}");
    home.write("other.pem", rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem());
    home.millpond(&format!("{view} --ca other.pem --token-file token"))
        .fails(1, &["certificate: ", "certificate authority"]);
    home.millpond(&format!("{view} --ca token --token-file token")).fails(2, &["PEM"]);
    home.millpond(&format!("{view} --ca nothing")).fails(1, &["nothing"]);
    let plain = url.replace("https", "http");
    home.millpond(&format!("put events --server {plain} --token-file token --retry-seconds 0"))
        .fails(1, &["localhost"]);
}
