//! As much of HTTP/1.1 as it takes to stand in for a service: requests with a length, one after the
//! other on each connection.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;

use crate::fake::FakeAws;

/// A request.
#[derive(Debug)]
pub struct Request {
    /// Its method.
    pub method: String,
    /// Its path, with its query.
    pub path: String,
    /// Its headers, with small letters.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

/// Reads a request; `None` when there is no other.
pub fn read(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    if reader.read_line(&mut line).unwrap_or(0) == 0 {
        return None;
    }
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.map_or(0, |(_, length)| length.parse().unwrap())];
    reader.read_exact(&mut body).unwrap();
    Some(Request { method, path, headers, body })
}

/// Writes an answer.
pub fn write(stream: &mut TcpStream, status: u16, headers: &[(&str, String)], body: &[u8]) {
    let mut head = format!("HTTP/1.1 {status} .\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let whole = [head.as_bytes(), body].concat();
    // A program that was stopped takes no answer.
    let _ = stream.write_all(&whole);
}

/// Serves an AWS to other processes, for as long as this one lives.
#[must_use]
pub fn serve(aws: &FakeAws) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let aws = aws.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let aws = aws.clone();
            thread::spawn(move || answer(&aws, stream.unwrap()));
        }
    });
    address
}

fn answer(aws: &FakeAws, mut stream: TcpStream) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some(Request { method, path, headers, body }) = read(&mut reader) {
        let mut request = HttpRequest::new(SdkBody::from(body));
        request.set_method(&method).unwrap();
        request.set_uri(format!("http://aws.test{path}")).unwrap();
        for (name, value) in headers {
            request.headers_mut().append(name, value);
        }
        let answered = runtime.block_on(HttpConnector::call(aws, request)).unwrap();
        let body = answered.body().bytes().unwrap();
        write(&mut stream, answered.status().as_u16(), &[], body);
    }
}
