//! Bodies of requests and answers.

use serde_json::{Value, json};
use utoipa::PartialSchema;
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::schema::{AnyOfBuilder, ArrayBuilder, ObjectBuilder, SchemaFormat, SchemaType};
use utoipa::openapi::{
    ContentBuilder, HeaderBuilder, KnownFormat, Ref, RefOr, Required, Response, ResponseBuilder, Schema, Type,
};

use super::super::framing::{CONTENT_TYPES, Form};
use super::super::joins::DEFINITION_TYPES;
use super::super::route::{Content, Gives, Route, Takes};
use super::parameters::string;

pub(super) fn body(takes: Takes) -> Option<RequestBody> {
    let builder = RequestBodyBuilder::new().required(Some(Required::True));
    Some(match takes {
        Takes::Nothing => return None,
        Takes::LateChoice => builder.content("application/json", named("LateChoice")).build(),
        Takes::Preview => builder.content("application/json", named("PreviewAsked")).build(),
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

fn named(schema: &str) -> utoipa::openapi::Content {
    ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build()
}

fn events(form: Form) -> utoipa::openapi::Content {
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

pub(super) fn answer(route: &Route, gives: &Gives) -> Response {
    let mut response = ResponseBuilder::new().description(gives.about);
    for (kind, content) in gives.content {
        let schema: RefOr<Schema> = match content {
            Content::Schema(name) => Ref::from_schema_name(*name).into(),
            Content::Object => RefOr::T(Schema::from(ObjectBuilder::new().schema_type(SchemaType::Type(Type::Object)))),
            Content::Text => String::schema(),
            Content::Change => RefOr::T(Schema::from(change())),
            Content::Bytes => {
                RefOr::T(Schema::from(string().format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)))))
            }
        };
        response = response.content(*kind, ContentBuilder::new().schema(Some(schema)).build());
    }
    if route.name == "getView" {
        let tag = HeaderBuilder::new().schema(Some(string())).description(Some(
            "In quotes, the view's version and the edition of its join; absent with `at` and `explain`",
        ));
        response = response.header("ETag", tag.build());
    }
    if matches!(route.name, "getPage" | "getPageFile") {
        let tag = HeaderBuilder::new().schema(Some(string())).description(Some("In quotes, a hash of the file"));
        response = response.header("ETag", tag.build());
    }
    response.build()
}

/// One event of a stream of changes: before OpenAPI 3.2, the schema of a stream is that of its parts.
fn change() -> ObjectBuilder {
    let data = string()
        .content_media_type("application/json")
        .content_schema(Some(Ref::from_schema_name("Change")))
        .description(Some("A Change as JSON; of a `reset`, its reason"));
    ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::Object))
        .property("event", string().enum_values(Some(["change", "reset"])))
        .property("id", string().description(Some("Where to go on; a `reset` has none")))
        .property("data", data)
        .required("event")
        .required("data")
}
