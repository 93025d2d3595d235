//! The OpenAPI document, made from the table of routes.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use axum::http::header;
use axum::response::{IntoResponse, Response as HttpResponse};
use millpond_client::wire;
use serde_json::{Value, json};
use utoipa::openapi::path::{
    Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, ParameterStyle, PathsBuilder,
};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::schema::{
    AnyOfBuilder, ArrayBuilder, Components, ComponentsBuilder, ObjectBuilder, SchemaFormat, SchemaType,
};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ContentBuilder, HeaderBuilder, InfoBuilder, KnownFormat, OpenApi, OpenApiBuilder, PathItem, Ref, RefOr, Required,
    Response, ResponseBuilder, Schema, Type,
};
use utoipa::{PartialSchema, ToSchema};

use super::framing::CONTENT_TYPES;
use super::joins::DEFINITION_TYPES;
use super::problem::Word;
use super::query::{Kind, LIMIT_DEFAULT, LIMIT_MAX, Param};
use super::routes::{Content, Gives, Route, Takes, table};
use super::target::KEY_CHARACTERS_MAX;

const SECURITY: &str = "token";
/// No control characters: as names, keys and ids have none.
const PLAIN: &str = r"^[^\u0000-\u001f\u007f]*$";
/// A field, a comparison, a value.
const CONDITION: &str =
    r"^[^\s=!<>\u0000-\u001f\u007f][^=!<>\u0000-\u001f\u007f]*(=|!=|<=?|>=?)[^\u0000-\u001f\u007f]*$";
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
    add::<wire::QuarantinePage>(&mut schemas);
    add::<wire::Done>(&mut schemas);
    add::<wire::Retried>(&mut schemas);
    add::<wire::Erased>(&mut schemas);
    add::<wire::JoinList>(&mut schemas);
    add::<wire::JoinPut>(&mut schemas);
    add::<wire::Stats>(&mut schemas);
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

fn names_in(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn string() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::Type(Type::String))
}

fn path_parameter(name: &str) -> Parameter {
    let (about, schema) = match name {
        "join" => (
            "The join's name",
            string().min_length(Some(1)).max_length(Some(64)).pattern(Some("^[a-z0-9][a-z0-9_-]*$")),
        ),
        "id" => ("The entry's id", string().min_length(Some(32)).max_length(Some(32)).pattern(Some("^[0-9a-f]{32}$"))),
        _ => (
            "The key, percent-encoded: a `/` in it is `%2F`",
            string().min_length(Some(1)).max_length(Some(KEY_CHARACTERS_MAX)).pattern(Some(PLAIN)),
        ),
    };
    let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path).required(Required::True);
    parameter.description(Some(about)).schema(Some(schema)).build()
}

fn query_parameter(param: &Param) -> Parameter {
    let parameter = ParameterBuilder::new().name(param.name).parameter_in(ParameterIn::Query).required(Required::False);
    let parameter = parameter.description(Some(param.about));
    match param.kind {
        Kind::Where => {
            let items = string().max_length(Some(KEY_CHARACTERS_MAX)).pattern(Some(CONDITION));
            let schema = ArrayBuilder::new().items(RefOr::T(Schema::from(items))).max_items(Some(16));
            parameter.schema(Some(schema)).style(Some(ParameterStyle::Form)).explode(Some(true)).build()
        }
        Kind::Time => {
            let ms = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Integer)).minimum(Some(0));
            let time = string().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
            parameter.schema(Some(AnyOfBuilder::new().item(ms).item(time))).build()
        }
        kind => parameter.schema(Some(query_schema(kind))).build(),
    }
}

fn query_schema(kind: Kind) -> ObjectBuilder {
    match kind {
        Kind::Text(max) => string().max_length(Some(max)).pattern(Some(PLAIN)),
        Kind::Limit => ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::Integer))
            .minimum(Some(1))
            .maximum(Some(LIMIT_MAX as f64))
            .default(Some(json!(LIMIT_DEFAULT))),
        Kind::Flag => ObjectBuilder::new().schema_type(SchemaType::Type(Type::Boolean)).default(Some(json!(false))),
        Kind::Position => string().pattern(Some("^[0-9]{1,18}/")),
        Kind::LatePlace => string().pattern(Some("^[^/%]+/[0-9]{1,18}/")),
        Kind::EntryId => string().pattern(Some("^[0-9a-f]{32}$")),
        Kind::Choice(words) => string().enum_values(Some(words.iter().copied())),
        Kind::Cursor | Kind::Where | Kind::Time => {
            string().pattern(Some(r"^(start|c[0-9]{1,18}\.-|s[0-9]{1,18}\.-\.[0-9]{1,18}\.-)$|^[cs][0-9]{1,18}\..*k"))
        }
    }
}

fn header_parameters(route: &Route) -> Vec<Parameter> {
    let header = |name: &str, about: &str| {
        let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Header).required(Required::False);
        parameter.description(Some(about)).schema(Some(string())).build()
    };
    match route.name {
        "getView" => vec![header("If-None-Match", "Versions that the caller knows: with one of them there, 304")],
        "followChanges" => vec![header("Last-Event-ID", "The last id that was received: the stream goes on after it")],
        _ => Vec::new(),
    }
}

fn body(takes: Takes) -> Option<RequestBody> {
    let builder = RequestBodyBuilder::new().required(Some(Required::True));
    Some(match takes {
        Takes::Nothing => return None,
        Takes::LateChoice => builder
            .content(
                "application/json",
                ContentBuilder::new().schema(Some(Ref::from_schema_name("LateChoice"))).build(),
            )
            .build(),
        Takes::Definition => {
            let toml = || ContentBuilder::new().schema(Some(string())).build();
            let body = builder.description(Some("The definition, as TOML"));
            DEFINITION_TYPES.iter().fold(body, |body, kind| body.content(*kind, toml())).build()
        }
        Takes::Events => {
            let about = "Events: native, CloudEvents or EventBridge, as an object, an array of them, or one a line. A CloudEvent in binary mode has its attributes in `ce-` headers, and any type of body. One that is no event goes into quarantine";
            let body = builder.description(Some(about));
            CONTENT_TYPES.iter().fold(body, |body, (kind, form)| body.content(*kind, events(*form))).build()
        }
    })
}

fn events(form: super::framing::Form) -> utoipa::openapi::Content {
    use super::framing::Form;
    let event = || ObjectBuilder::new().schema_type(SchemaType::Type(Type::Object));
    let array = || ArrayBuilder::new().items(RefOr::T(Schema::from(event())));
    let example =
        json!({"id": "e-1", "type": "user-created", "timestamp": 1_760_000_000_000_u64, "user": {"id": "u-1"}});
    let content = ContentBuilder::new();
    match form {
        Form::Json => content
            .schema(Some(AnyOfBuilder::new().item(event()).item(array())))
            .example(Some(Value::Array(vec![example])))
            .build(),
        Form::Array => content.schema(Some(array())).build(),
        Form::One => content.schema(Some(event())).build(),
        Form::Lines | Form::Binary => content.schema(Some(string())).build(),
    }
}

fn answer(route: &Route, gives: &Gives) -> Response {
    let mut response = ResponseBuilder::new().description(gives.about);
    for (kind, content) in gives.content {
        let schema: RefOr<Schema> = match content {
            Content::Schema(name) => Ref::from_schema_name(*name).into(),
            Content::Object => RefOr::T(Schema::from(ObjectBuilder::new().schema_type(SchemaType::Type(Type::Object)))),
            Content::Text => String::schema(),
            Content::Stream => RefOr::T(Schema::from(streamed())),
            Content::Bytes => {
                RefOr::T(Schema::from(string().format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)))))
            }
        };
        response = response.content(*kind, ContentBuilder::new().schema(Some(schema)).build());
    }
    if route.name == "getView" {
        let tag = HeaderBuilder::new()
            .schema(Some(string()))
            .description(Some("The view's version, in quotes; absent with `at` and `explain`"));
        response = response.header("ETag", tag.build());
    }
    response.build()
}

/// An event of the stream of changes, of which there are any number.
fn streamed() -> ObjectBuilder {
    let data =
        string().description(Some("Of a `change`, a JSON text: a Change. Of a `reset`, a JSON object with the reason"));
    ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::Object))
        .property("event", string().enum_values(Some(["change", "reset"])))
        .property("id", string().description(Some("Comes back as `Last-Event-ID`")))
        .property("data", data)
        .required("event")
        .required("data")
}

/// The problems an operation may answer, by status.
fn problems(route: &Route) -> BTreeMap<&'static str, Vec<Word>> {
    // A path or query that is not UTF-8, or a parameter that nobody knows, can come anywhere.
    let mut words = vec![Word::BadRequest, Word::Misdirected, Word::Internal];
    if route.scope.is_some() {
        words.extend([Word::Unauthorized, Word::Forbidden]);
    }
    if names_in(route.path).next().is_some() {
        words.extend([Word::NotFound, Word::Unavailable, Word::Rebuilding]);
    }
    if route.takes != Takes::Nothing {
        words.extend([Word::Timeout, Word::TooLarge, Word::UnsupportedMediaType, Word::TooMany]);
    }
    words.extend(route.refuses);
    words.sort_unstable();
    words.dedup();
    let mut by_status: BTreeMap<&'static str, Vec<Word>> = BTreeMap::new();
    for word in words {
        by_status.entry(status_text(word)).or_default().push(word);
    }
    by_status
}

fn status_text(word: Word) -> &'static str {
    match word.status().as_u16() {
        400 => "400",
        401 => "401",
        403 => "403",
        404 => "404",
        405 => "405",
        408 => "408",
        409 => "409",
        413 => "413",
        415 => "415",
        421 => "421",
        422 => "422",
        429 => "429",
        503 => "503",
        _ => "500",
    }
}

fn problem(words: &[Word]) -> Response {
    let titles: Vec<String> =
        words.iter().map(|word| format!("{} (`urn:millpond:{}`)", word.title(), word.code())).collect();
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let mut response =
        ResponseBuilder::new().description(titles.join("; ")).content("application/problem+json", content);
    let header = |about: &str| HeaderBuilder::new().schema(Some(string())).description(Some(about)).build();
    if words.iter().any(|word| matches!(word, Word::TooMany | Word::Unavailable | Word::Rebuilding)) {
        response = response.header("Retry-After", header("Seconds after which to try again"));
    }
    if words.iter().any(|word| matches!(word, Word::Unauthorized | Word::Forbidden)) {
        response = response.header("WWW-Authenticate", header("What the server asks for"));
    }
    response.build()
}
