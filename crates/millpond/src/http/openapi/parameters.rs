//! Parameters of operations: what is checked is what is documented.

use serde_json::json;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn, ParameterStyle};
use utoipa::openapi::schema::{AnyOfBuilder, ArrayBuilder, ObjectBuilder, SchemaFormat, SchemaType};
use utoipa::openapi::{KnownFormat, RefOr, Required, Schema, Type};

use super::super::page::names;
use super::super::query::{Kind, LIMIT_DEFAULT, LIMIT_MAX, Param, TIME_MS_MAX};
use super::super::route::Route;
use super::super::target::KEY_CHARACTERS_MAX;

/// No control characters: as names, keys and ids have none.
const PLAIN: &str = r"^[^\u0000-\u001f\u007f]*$";
/// A field, a comparison, a value.
const CONDITION: &str =
    r"^[^\s=!<>\u0000-\u001f\u007f][^=!<>\u0000-\u001f\u007f]*(=|!=|<=?|>=?)[^\u0000-\u001f\u007f]*$";

pub(super) fn names_in(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

pub(super) fn string() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::Type(Type::String))
}

pub(super) fn path_parameter(name: &str) -> Parameter {
    let (about, schema) = match name {
        "join" => (
            "The join's name",
            string().min_length(Some(1)).max_length(Some(64)).pattern(Some("^[a-z0-9][a-z0-9_-]*$")),
        ),
        "file" => ("The file's name", string().enum_values(Some(names()))),
        "id" => ("The entry's id", string().min_length(Some(32)).max_length(Some(32)).pattern(Some("^[0-9a-f]{32}$"))),
        _ => (
            "The key, percent-encoded: a `/` in it is `%2F`",
            string().min_length(Some(1)).max_length(Some(KEY_CHARACTERS_MAX)).pattern(Some(PLAIN)),
        ),
    };
    let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path).required(Required::True);
    parameter.description(Some(about)).schema(Some(schema)).build()
}

pub(super) fn query_parameter(param: &Param) -> Parameter {
    let parameter = ParameterBuilder::new().name(param.name).parameter_in(ParameterIn::Query).required(Required::False);
    let parameter = parameter.description(Some(param.about));
    match param.kind {
        Kind::Where => {
            let items = string().max_length(Some(KEY_CHARACTERS_MAX)).pattern(Some(CONDITION));
            let schema = ArrayBuilder::new().items(RefOr::T(Schema::from(items))).max_items(Some(16));
            parameter.schema(Some(schema)).style(Some(ParameterStyle::Form)).explode(Some(true)).build()
        }
        Kind::Time => {
            let ms = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Integer));
            let ms = ms.minimum(Some(0)).maximum(Some(TIME_MS_MAX as f64));
            let time = string().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
            parameter.schema(Some(AnyOfBuilder::new().item(ms).item(time))).build()
        }
        kind => parameter.schema(Some(query_schema(kind))).build(),
    }
}

fn query_schema(kind: Kind) -> ObjectBuilder {
    match kind {
        Kind::Text(max) => string().max_length(Some(max)).pattern(Some(PLAIN)),
        Kind::Limit => at_most(LIMIT_MAX).default(Some(json!(LIMIT_DEFAULT))),
        Kind::AtMost(max) => at_most(max),
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

fn at_most(max: usize) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(SchemaType::Type(Type::Integer)).minimum(Some(1)).maximum(Some(max as f64))
}

pub(super) fn header_parameters(route: &Route) -> Vec<Parameter> {
    let header = |name: &str, about: &str| {
        let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Header).required(Required::False);
        parameter.description(Some(about)).schema(Some(string())).build()
    };
    match route.name {
        "getView" => vec![header("If-None-Match", "Versions that the caller knows: with one of them there, 304")],
        "getPage" | "getPageFile" => {
            vec![header("If-None-Match", "Tags that the caller knows: with the file's among them, 304")]
        }
        "followChanges" => vec![header("Last-Event-ID", "The last id that was received: the stream goes on after it")],
        _ => Vec::new(),
    }
}
