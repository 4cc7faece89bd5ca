//! The JSON Schema of the file, for editors: completion, meanings on hover, and red lines before anything runs.
//!
//! Made from the table of keys. Draft 2020-12, everything in place: some editors do not follow `$ref`. It knows shapes, not meanings;
//! `check` has the last word.

use serde_json::{Map, Value, json};

use super::keys::{FILE, Key, Kind};

/// The schema as committed in `config/schema.json`, with a line end.
pub fn schema() -> String {
    let mut schema = table(FILE);
    let head = [
        ("$schema", json!("https://json-schema.org/draft/2020-12/schema")),
        ("title", json!("Tidegate configuration")),
        ("required", json!(["listen", "route"])),
    ];
    schema.extend(head.map(|(name, value)| (name.to_owned(), value)));
    format!("{:#}\n", Value::Object(schema))
}

fn table(keys: &[Key]) -> Map<String, Value> {
    let properties: Map<String, Value> = keys.iter().map(|key| (key.name.to_owned(), Value::Object(property(key)))).collect();
    object(json!({ "type": "object", "additionalProperties": false, "properties": properties }))
}

fn property(key: &Key) -> Map<String, Value> {
    let mut property = kind(&key.kind);
    property.insert("description".to_owned(), json!(key.doc));
    if let Some(default) = key.default {
        property.insert("default".to_owned(), default_value(&key.kind, default));
    }
    property
}

fn default_value(kind: &Kind, default: &str) -> Value {
    match (kind, default.parse::<i64>()) {
        (Kind::Number { .. }, Ok(number)) => json!(number),
        (Kind::Flag, _) => json!(default == "true"),
        _ => json!(default),
    }
}

/// A value that comes from the environment: what it will be is not known to an editor.
const VARIABLE: &str = r"\$\{";

fn kind(kind: &Kind) -> Map<String, Value> {
    object(match kind {
        Kind::Text | Kind::Address | Kind::Network => json!({ "type": "string" }),
        Kind::Word(words) => json!({ "anyOf": [{ "enum": words }, { "type": "string", "pattern": VARIABLE }] }),
        // A number alone is refused: it would leave open of what.
        Kind::Duration { .. } | Kind::Size { .. } => json!({ "type": "string", "pattern": "[^0-9]" }),
        Kind::Share => json!({ "type": "string", "pattern": format!("%$|{VARIABLE}") }),
        Kind::Number { min, max, word } => {
            let mut forms =
                vec![json!({ "type": "integer", "minimum": min, "maximum": max }), json!({ "type": "string", "pattern": VARIABLE })];
            forms.extend(word.map(|word| json!({ "const": word })));
            json!({ "anyOf": forms })
        }
        Kind::Decimal { min, max } => json!({
            "anyOf": [{ "type": "number", "minimum": min, "maximum": max }, { "type": "string", "pattern": VARIABLE }]
        }),
        Kind::Flag => json!({ "anyOf": [{ "type": "boolean" }, { "type": "string", "pattern": VARIABLE }] }),
        Kind::Many(each) => {
            let each = self::kind(each);
            json!({ "anyOf": [each.clone(), { "type": "array", "minItems": 1, "items": each }] })
        }
        Kind::Entries(keys) => json!({ "type": "array", "minItems": 1, "items": { "anyOf": [self::kind(&keys[0].kind), table(keys)] } }),
        Kind::Pairs => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        Kind::Short(keys) => json!({ "anyOf": [self::kind(&keys[0].kind), table(keys)] }),
        Kind::Table(keys) => return table(keys),
        Kind::Named(keys) => json!({ "type": "object", "additionalProperties": table(keys) }),
        Kind::Repeated(keys) => json!({ "type": "array", "items": table(keys) }),
    })
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}
