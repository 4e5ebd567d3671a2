//! What requests give: JSON bodies, numbers, names. Whatever becomes part of a command has a closed alphabet here, so that
//! nothing in it can be read as anything but itself.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// Longest number or name, bytes.
const LONGEST: usize = 128;

/// A JSON body; whatever is wrong with it is said as a [`Problem`].
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
        let given: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        serde_json::from_slice(given)
            .map(Self)
            .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, error.to_string()))
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
    fn nothing_that_a_command_or_a_path_could_read_gets_through() {
        assert!(number("to", "+491701234567").is_ok() && number("to", "alice@example.com").is_ok());
        for bad in ["", "1 &system(x)", "1,2", "{a=b}1", "1|2", "1\n2", "${x}", "1'", "é"] {
            assert!(number("to", bad).is_err(), "{bad}");
        }
        assert!(file("file", "a/b-1.wav").is_ok());
        for bad in ["/etc/passwd", "../x", "a/../b", "a//b", "http://x/y", ".hidden", "a b"] {
            assert!(file("file", bad).is_err(), "{bad}");
        }
        assert!(digits("digits", "12*#w").is_ok() && digits("digits", "1 2").is_err());
    }
}
