//! Who asks: a signed token's subject, or the plain `user` parameter where that is allowed.

use alloc::string::{String, ToString};

use edgewise_wire::jwt;
use edgewise_wire::problem::Problem;

use crate::config::Config;

/// The subject of the request's bearer token, if there is one.
///
/// # Errors
/// 401 for a header that is not a valid bearer token.
pub(crate) fn subject(
    authorization: Option<&str>,
    config: &Config,
    wall_ms: i64,
) -> Result<Option<String>, Problem> {
    let Some(value) = authorization.filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let token = value
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .ok_or_else(|| Problem::unauthorized("the authorization is not a bearer token"))?;
    let claims = jwt::verify(token, &config.keys, wall_ms)
        .map_err(|error| Problem::unauthorized(error.to_string()))?;
    Ok(Some(claims.sub))
}

/// The user that a subject and a claimed `user` make.
///
/// # Errors
/// 403 where they differ, 401 where a user is claimed without a token and that is not allowed.
pub(crate) fn agree(
    subject: Option<&str>,
    claimed: Option<&str>,
    config: &Config,
) -> Result<Option<String>, Problem> {
    match (subject, claimed) {
        (Some(subject), Some(claimed)) if subject != claimed => Err(Problem::forbidden(
            "user",
            "the signed token is another user's",
        )),
        (Some(subject), _) => Ok(Some(subject.into())),
        (None, Some(_)) if !config.plain_user => {
            Err(Problem::unauthorized("user needs a signed token here"))
        }
        (None, claimed) => Ok(claimed.map(String::from)),
    }
}
