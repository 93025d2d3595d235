//! The OpenAPI document, made from the table of routes.

mod bodies;
mod parameters;
mod problems;

use std::sync::OnceLock;

use axum::http::header;
use axum::response::{IntoResponse, Response as HttpResponse};
use millpond_client::wire;
use utoipa::ToSchema;
use utoipa::openapi::path::{Operation, OperationBuilder, PathsBuilder};
use utoipa::openapi::schema::{Components, ComponentsBuilder};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder, PathItem, RefOr, Schema};

use super::route::Route;
use super::routes::table;
use bodies::{answer, body};
use parameters::{header_parameters, names_in, path_parameter, query_parameter};
use problems::{problem, problems};

const SECURITY: &str = "token";
const ABOUT: &str = "Joins events by key into materialized views. Every answer to an event is durable: acknowledged means on disk. Every error is a problem (RFC 9457) whose `detail` says what to do.";

/// `GET /openapi.json`.
pub(super) async fn document() -> HttpResponse {
    static TEXT: OnceLock<String> = OnceLock::new();
    ([(header::CONTENT_TYPE, "application/json")], TEXT.get_or_init(text).as_str()).into_response()
}

/// The document as it is served and committed.
pub(super) fn text() -> String {
    let mut text = api().to_pretty_json().expect("the document is plain data");
    text.push('\n');
    text
}

fn api() -> OpenApi {
    let mut paths = PathsBuilder::new();
    for route in table() {
        paths = paths.path(route.path, PathItem::new(route.method.clone(), operation(&route)));
    }
    let info = InfoBuilder::new().title("Millpond").version(env!("CARGO_PKG_VERSION")).description(Some(ABOUT));
    OpenApiBuilder::new().info(info.build()).paths(paths.build()).components(Some(components())).build()
}

fn components() -> Components {
    let bearer = Http::builder()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token made by `millpond token add`, with the scope that the operation names. A server without tokens asks for none"))
        .build();
    let mut schemas = Vec::new();
    add::<wire::Taken>(&mut schemas);
    add::<wire::ViewPage>(&mut schemas);
    add::<wire::Change>(&mut schemas);
    add::<wire::EventPage>(&mut schemas);
    add::<wire::Explained>(&mut schemas);
    add::<wire::Snapshotted>(&mut schemas);
    add::<wire::Trimmed>(&mut schemas);
    add::<wire::LatePage>(&mut schemas);
    add::<wire::LateChoice>(&mut schemas);
    add::<wire::DuplicateList>(&mut schemas);
    add::<wire::QuarantinePage>(&mut schemas);
    add::<wire::Done>(&mut schemas);
    add::<wire::Retried>(&mut schemas);
    add::<wire::Erased>(&mut schemas);
    add::<wire::JoinList>(&mut schemas);
    add::<wire::JoinPut>(&mut schemas);
    add::<wire::PreviewAsked>(&mut schemas);
    add::<wire::Preview>(&mut schemas);
    add::<wire::Stats>(&mut schemas);
    add::<wire::Samples>(&mut schemas);
    add::<wire::Tails>(&mut schemas);
    add::<wire::Verified>(&mut schemas);
    add::<wire::Problem>(&mut schemas);
    ComponentsBuilder::new().schemas_from_iter(schemas).security_scheme(SECURITY, SecurityScheme::Http(bearer)).build()
}

/// A type's schema, and those that it names.
fn add<T: ToSchema>(schemas: &mut Vec<(String, RefOr<Schema>)>) {
    schemas.push((T::name().into_owned(), T::schema()));
    T::schemas(schemas);
}

fn operation(route: &Route) -> Operation {
    let mut operation = OperationBuilder::new().operation_id(Some(route.name)).summary(Some(route.about));
    if let Some(scope) = route.scope {
        let scope = scope.name();
        operation = operation
            .description(Some(format!("Takes a token with the scope `{scope}`, where the server has tokens.")))
            .tag(scope)
            .security(SecurityRequirement::new(SECURITY, [scope]))
            .security(SecurityRequirement::default());
    } else {
        operation = operation.tag("open").securities(Some([]));
    }
    for name in names_in(route.path) {
        operation = operation.parameter(path_parameter(name));
    }
    for param in route.params {
        operation = operation.parameter(query_parameter(param));
    }
    for parameter in header_parameters(route) {
        operation = operation.parameter(parameter);
    }
    if let Some(body) = body(route.takes) {
        operation = operation.request_body(Some(body));
    }
    for gives in &route.gives {
        operation = operation.response(gives.status.as_str(), answer(route, gives));
    }
    for (status, words) in problems(route) {
        operation = operation.response(status, problem(&words));
    }
    operation.build()
}
