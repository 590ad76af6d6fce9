//! Who asks: a signed token's subject, or the plain `user` parameter where that is allowed;
//! and whether an operator or edge asks.

use axum::http::{HeaderMap, header};
use edgewise_wire::jwt;
use edgewise_wire::keys::Keys;
use edgewise_wire::problem::Problem;
use sha2::{Digest, Sha256};

/// The subject of the request's bearer token, if there is one.
///
/// # Errors
///
/// 401 for a header that is not a valid bearer token.
pub(crate) fn subject(
    headers: &HeaderMap,
    keys: &Keys,
    wall_ms: i64,
) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Ok(None);
    };
    if value.is_empty() {
        return Ok(None);
    }
    let token = bearer(value.to_str().ok())
        .ok_or_else(|| Problem::unauthorized("the authorization is not a bearer token"))?;
    let claims = jwt::verify(token, keys, wall_ms)
        .map_err(|error| Problem::unauthorized(error.to_string()))?;
    Ok(Some(claims.sub))
}

/// The user that a subject and a claimed `user` make.
///
/// # Errors
///
/// 403 where they differ, 401 where a user is claimed without a token and that is not allowed.
pub(crate) fn agree(
    subject: Option<&str>,
    claimed: Option<&str>,
    plain_user: bool,
) -> Result<Option<String>, Problem> {
    match (subject, claimed) {
        (Some(subject), Some(claimed)) if subject != claimed => Err(Problem::forbidden(
            "user",
            "the signed token is another user's",
        )),
        (Some(subject), _) => Ok(Some(subject.to_owned())),
        (None, Some(_)) if !plain_user => {
            Err(Problem::unauthorized("user needs a signed token here"))
        }
        (None, claimed) => Ok(claimed.map(str::to_owned)),
    }
}

/// The bearer token of internal and admin routes, kept as its hash.
#[derive(Clone)]
pub struct AdminToken([u8; 32]);

impl AdminToken {
    /// The hash of `token`.
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Whether the request carries it. Hashes are compared whole: neither length nor the first
    /// wrong byte shows in the time.
    ///
    /// # Errors
    ///
    /// 401 where it does not.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let value = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let given: [u8; 32] = Sha256::digest(bearer(value).unwrap_or("").as_bytes()).into();
        let difference = given
            .iter()
            .zip(&self.0)
            .fold(0, |all, (a, b)| all | (a ^ b));
        if std::hint::black_box(difference) == 0 {
            return Ok(());
        }
        Err(Problem::unauthorized(
            "this route needs the admin token as a bearer token",
        ))
    }
}

fn bearer(value: Option<&str>) -> Option<&str> {
    let (scheme, token) = value?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[track_caller]
    fn check(value: &str, is_admin: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::AUTHORIZATION,
            HeaderValue::from_str(value).expect("ASCII"),
        );
        assert_eq!(
            AdminToken::new("secret").check(&headers).is_ok(),
            is_admin,
            "{value}"
        );
    }

    #[test]
    fn only_the_whole_token_opens() {
        check("Bearer secret", true);
        check("bearer secret", true);
        check("Bearer secre", false);
        check("Bearer secrets", false);
        check("Bearer ", false);
        check("Basic secret", false);
        check("secret", false);
        assert!(AdminToken::new("secret").check(&HeaderMap::new()).is_err());
    }
}
