//! The OpenAPI 3.1 description of the public routes.

/// `shared/wire/openapi.json`; a test fails where a route is missing.
pub const OPENAPI: &str = include_str!("../openapi.json");

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;

    use serde_json::Value;

    use super::OPENAPI;
    use crate::api::{EventType, Rung, SessionStatus};

    fn document() -> Value {
        serde_json::from_str(OPENAPI).unwrap()
    }

    fn strings(document: &Value, pointer: &str) -> Vec<String> {
        let list = document
            .pointer(pointer)
            .and_then(Value::as_array)
            .expect(pointer);
        list.iter()
            .map(|value| value.as_str().unwrap().to_string())
            .collect()
    }

    #[test]
    fn every_public_route_is_described() {
        let routes = [
            ("/api/v1/feed", "get"),
            ("/api/v1/feed/offline", "get"),
            ("/api/v1/hot/trending", "get"),
            ("/api/v1/similar/{item}", "get"),
            ("/api/v1/discover/suggested-users", "get"),
            ("/api/v1/items", "get"),
            ("/api/v1/events", "post"),
            ("/livez", "get"),
            ("/readyz", "get"),
            ("/healthz", "get"),
            ("/version", "get"),
            ("/openapi.json", "get"),
        ];
        let document = document();
        let paths = document["paths"].as_object().unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        assert_eq!(paths.len(), routes.len());
        for (path, method) in routes {
            assert!(
                paths[path][method]["responses"].is_object(),
                "{method} {path}"
            );
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn walk(value: &Value, document: &Value) {
            match value {
                Value::Object(fields) => fields.iter().for_each(|(name, value)| {
                    if name == "$ref" {
                        let target = value.as_str().unwrap().strip_prefix('#').unwrap();
                        assert!(document.pointer(target).is_some(), "{target}");
                    }
                    walk(value, document);
                }),
                Value::Array(values) => values.iter().for_each(|value| walk(value, document)),
                _ => {}
            }
        }
        walk(&document(), &document());
    }

    #[test]
    fn names_are_those_of_the_types() {
        let document = document();
        let types = strings(&document, "/components/schemas/Event/properties/type/enum");
        assert_eq!(types, EventType::ALL.map(EventType::name));
        let rungs = [
            Rung::Personal,
            Rung::PersonalStale,
            Rung::Segment,
            Rung::Hot,
            Rung::HotStale,
        ];
        assert_eq!(
            strings(&document, "/components/schemas/Rung/enum"),
            rungs.map(Rung::name)
        );
        let statuses = SessionStatus::ALL.map(SessionStatus::name);
        let described = "/components/schemas/Feed/properties/session_status/enum";
        assert_eq!(strings(&document, described), statuses);
    }
}
