//! What requests give: JSON bodies, numbers, names. Whatever becomes part of a command has a closed alphabet here, so that
//! nothing in it can be read as anything but itself.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// Longest number or name, bytes.
const LONGEST: usize = 128;

/// A JSON body; whatever is wrong with it is said as a [`Problem`].
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body is to be application/json",
            ));
        }
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
        let given: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        serde_json::from_slice(given)
            .map(Self)
            .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.to_string()))
    }
}

/// JSON by its own name, or what clients say that were told no type: `curl -d`, a text.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return true };
    let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    let kind = kind.trim().to_ascii_lowercase();
    let untold = ["", "text/plain", "application/x-www-form-urlencoded"];
    kind == "application/json" || kind.ends_with("+json") || untold.contains(&kind.as_str())
}

/// What stands in a path for `{id}` or `{uuid}`, or for several of them; what is not UTF-8 is said as a [`Problem`].
pub(super) struct Id<T = String>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(id)| Self(id))
            .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.body_text()))
    }
}

/// A phone number, an extension or a user, as dial strings and dialplans have them.
pub(super) fn number(field: &str, text: &str) -> Result<String, Problem> {
    let good = |c: char| c.is_ascii_alphanumeric() || "+*#_.-@".contains(c);
    checked(field, text, good, "letters, digits and + * # _ . - @ only")
}

/// The name of a context, a domain, a cause, or a UUID.
pub(super) fn name(field: &str, text: &str) -> Result<String, Problem> {
    let good = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    checked(field, text, good, "letters, digits and _ . - only")
}

/// Keys of a phone, with `w` and `W` for pauses.
pub(super) fn digits(field: &str, text: &str) -> Result<String, Problem> {
    let good = |c: char| c.is_ascii_digit() || "*#ABCDabcdwW".contains(c);
    checked(field, text, good, "0-9, * # A-D, w and W only")
}

/// Longest text that is said, bytes.
const LONGEST_TEXT: usize = 2000;

/// A text to be said: anything but what is no text, and nothing that would be expanded on the way.
pub(super) fn text(field: &str, text: &str) -> Result<String, Problem> {
    let wrong = text.trim().is_empty() || text.len() > LONGEST_TEXT;
    if wrong || text.chars().any(|c| c.is_control() && c != '\n') {
        return Err(Problem::unusable(field, &format!("1 to {LONGEST_TEXT} bytes of text")));
    }
    if base::text::has_reference(text) || text.ends_with('$') {
        return Err(Problem::unusable(field, "no references to variables"));
    }
    Ok(text.replace('\n', " "))
}

/// A file below one of the switch's own folders: nothing that leaves it, and no address.
pub(super) fn file(field: &str, text: &str) -> Result<String, Problem> {
    let good = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let text = checked(field, text, good, "letters, digits and _ - . / only")?;
    let leaves = text.split('/').any(|part| part.is_empty() || part.starts_with('.'));
    if leaves { Err(Problem::unusable(field, "a path below the folder only")) } else { Ok(text) }
}

fn checked(
    field: &str,
    text: &str,
    good: impl Fn(char) -> bool,
    wanted: &str,
) -> Result<String, Problem> {
    if text.is_empty() || text.len() > LONGEST || !text.chars().all(good) {
        return Err(Problem::unusable(field, &format!("1 to {LONGEST} of {wanted}")));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_json_whatever_clients_without_a_type_say() {
        let said = |kind: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
            is_json(&headers)
        };
        assert!(is_json(&HeaderMap::new()));
        assert!(said("application/json; charset=utf-8") && said("application/merge-patch+json"));
        assert!(said("application/x-www-form-urlencoded"));
        assert!(!said("text/xml") && !said("multipart/form-data; boundary=x"));
    }

    #[test]
    fn nothing_that_a_command_or_a_path_could_read_gets_through() {
        assert!(number("to", "+491701234567").is_ok() && number("to", "alice@example.com").is_ok());
        for bad in ["", "1 &system(x)", "1,2", "{a=b}1", "1|2", "1\n2", "${x}", "1'", "é"] {
            assert!(number("to", bad).is_err(), "{bad}");
        }
        assert!(file("file", "a/b-1.wav").is_ok());
        for bad in ["/etc/passwd", "../x", "a/../b", "a//b", "http://x/y", ".hidden", "a b"] {
            assert!(file("file", bad).is_err(), "{bad}");
        }
        assert!(text("text", "It is 5 o'clock | really").is_ok());
        for bad in ["", " ", "a\0", "${system(x)}", "$\\{x}", "ends in $"] {
            assert!(text("text", bad).is_err(), "{bad}");
        }
        assert!(digits("digits", "12*#w").is_ok() && digits("digits", "1 2").is_err());
    }
}
