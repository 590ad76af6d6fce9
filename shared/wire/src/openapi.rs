//! The OpenAPI 3.1 description of the public routes.

/// `shared/wire/openapi.json`; a test fails where a route is missing.
pub const OPENAPI: &str = include_str!("../openapi.json");
