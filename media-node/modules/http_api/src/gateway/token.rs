//! JSON Web Tokens: what they must say (RFC 7519), and with which algorithms.

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;

use super::given;
use super::settings::{Scope, Settings};

/// Longest token that is looked at, bytes.
const LONGEST: usize = 8192;

/// What a token says of its bearer.
#[derive(Clone, Debug, Default, Deserialize)]
struct Claims {
    #[serde(default)]
    sub: String,
    /// Scopes with blanks between (RFC 8693, section 4.2).
    #[serde(default)]
    scope: String,
    /// Scopes as a list, as some issuers write them.
    #[serde(default)]
    scopes: Vec<String>,
    /// The only domain whose calls its bearer may see and steer.
    #[serde(default)]
    domain: Option<String>,
}

/// Who a token is for and what it allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bearer {
    pub(super) name: String,
    pub(super) scopes: Vec<Scope>,
    /// The only domain that is its own; `None`: all.
    pub(super) domain: Option<String>,
}

/// Why a token is not believed.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    /// No key for its algorithm is configured.
    #[error("the token's algorithm is not taken here")]
    Algorithm,
    /// It names a key that is not known.
    #[error("the token's key is not known")]
    UnknownKey,
    /// Its form, signature, or time.
    #[error("{0}")]
    Invalid(#[from] jsonwebtoken::errors::Error),
    /// Its domain is none: it would stand in commands.
    #[error("the token's domain is no domain")]
    Domain,
    /// Too long to be one.
    #[error("the token is too long")]
    TooLong,
}

/// Which key a token wants.
pub(super) enum Wanted {
    /// The shared secret.
    Secret,
    /// An RSA key, by its identifier where it has one.
    Rsa(Option<String>),
}

/// Reads which key a token wants. Only HS256 and RS256: `none` and mixtures are refused.
pub(super) fn wanted(token: &str) -> Result<Wanted, TokenError> {
    if token.len() > LONGEST {
        return Err(TokenError::TooLong);
    }
    let header = decode_header(token)?;
    match header.alg {
        Algorithm::HS256 => Ok(Wanted::Secret),
        Algorithm::RS256 => Ok(Wanted::Rsa(header.kid)),
        _ => Err(TokenError::Algorithm),
    }
}

/// Checks a token with a key: signature, `exp`, `nbf`, and what the settings ask for.
pub(super) fn check(
    token: &str,
    key: &DecodingKey,
    algorithm: Algorithm,
    settings: &Settings,
) -> Result<Bearer, TokenError> {
    let mut validation = Validation::new(algorithm);
    validation.validate_nbf = true;
    validation.leeway = 30;
    if let Some(issuer) = &settings.issuer {
        validation.set_issuer(&[issuer]);
        validation.required_spec_claims.insert("iss".to_owned());
    }
    match &settings.audience {
        Some(audience) => {
            validation.set_audience(&[audience]);
            validation.required_spec_claims.insert("aud".to_owned());
        }
        None => validation.validate_aud = false,
    }
    let claims = decode::<Claims>(token, key, &validation)?.claims;
    let words = claims.scope.split_whitespace().map(str::to_owned).chain(claims.scopes);
    // Scopes of others may stand beside ours.
    let scopes = words.filter_map(|word| Scope::parse(&word)).collect();
    let domain = claims.domain.map(|domain| given::name("domain", &domain)).transpose();
    let domain = domain.map_err(|_| TokenError::Domain)?;
    Ok(Bearer { name: format!("token {}", claims.sub), scopes, domain })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::json;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn settings() -> Settings {
        let text = "<document><section name=\"configuration\"><configuration name=\"http_api.conf\"><settings>\
             <param name=\"jwt-secret\" value=\"0123456789abcdef0123456789abcdef\"/>\
             <param name=\"jwt-issuer\" value=\"crm\"/></settings></configuration></section></document>";
        let tree = dialplan_xml::parse_raw(text, "test").tree.expect("a tree");
        Settings::read(tree.configuration("http_api.conf")).expect("settings").expect("a key")
    }

    fn judged(claims: &serde_json::Value, secret: &[u8]) -> Result<Bearer, TokenError> {
        let token =
            encode(&Header::default(), claims, &EncodingKey::from_secret(secret)).expect("a token");
        let settings = settings();
        let key = settings.secret.clone().expect("a secret");
        check(&token, &key, Algorithm::HS256, &settings)
    }

    #[test]
    fn a_token_must_be_signed_current_and_from_the_issuer() {
        let soon = jsonwebtoken::get_current_timestamp() + 60;
        let good = json!({ "sub": "a", "iss": "crm", "exp": soon, "scope": "calls:read other" });
        let bearer = judged(&good, SECRET).expect("believed");
        assert_eq!((&bearer.scopes[..], bearer.domain), (&[Scope::CallsRead][..], None));
        let tenant = |domain: serde_json::Value| {
            judged(&json!({ "sub": "a", "iss": "crm", "exp": soon, "domain": domain }), SECRET)
        };
        assert_eq!(tenant(json!("a.test")).expect("believed").domain.as_deref(), Some("a.test"));
        for bad in [json!(""), json!("a,b"), json!("a}b"), json!(7)] {
            assert!(tenant(bad.clone()).is_err(), "{bad}");
        }
        assert!(judged(&good, b"another secret of thirty-two byte").is_err());
        for bad in [
            json!({ "iss": "crm", "exp": soon - 1000 }),
            json!({ "iss": "crm" }),
            json!({ "iss": "other", "exp": soon }),
            json!({ "exp": soon }),
            json!({ "iss": "crm", "exp": soon, "nbf": soon + 1000 }),
        ] {
            assert!(judged(&bad, SECRET).is_err(), "{bad}");
        }
    }

    #[test]
    fn algorithms_that_prove_nothing_are_refused() {
        // {"alg":"none"}.{}
        assert!(wanted("eyJhbGciOiJub25lIn0.e30.").is_err());
        assert!(wanted("nonsense").is_err() && wanted(&"a".repeat(9000)).is_err());
    }
}
