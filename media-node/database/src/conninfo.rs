//! libpq's connection strings: `host=db dbname=cdr password='a b'`, and `postgresql://` addresses.

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// For connecting, unless the string says otherwise. libpq would wait without end.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// What is wrong with a connection string. Values are not repeated: one may be a password.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// No `=` after a name, or a quote that is not closed.
    #[error("connection string: cannot be read from byte {0} on")]
    Syntax(usize),
    /// A name libpq does not have.
    #[error("connection string: there is no option {0}")]
    Unknown(String),
    /// A value that cannot be used.
    #[error("connection string: the value of {0} cannot be used")]
    Value(String),
}

/// Reads a connection string; gives the time to connect, too.
///
/// # Errors
/// What is wrong with it.
pub fn read(text: &str) -> Result<(PgConnectOptions, Duration), Invalid> {
    let text = text.trim();
    if text.starts_with("postgresql://") || text.starts_with("postgres://") {
        let options =
            PgConnectOptions::from_str(text).map_err(|_| Invalid::Value("the address".into()))?;
        return Ok((options.disable_statement_logging(), TIMEOUT));
    }
    // The core's database handles prefix it so.
    let text = text.strip_prefix("pgsql://").unwrap_or(text);
    let mut options = PgConnectOptions::new().disable_statement_logging();
    let mut timeout = TIMEOUT;
    // An empty value stands for the default, as in libpq.
    for (name, value) in pairs(text)?.into_iter().filter(|(_, value)| !value.is_empty()) {
        let wrong = || Invalid::Value(name.clone());
        options = match name.as_str() {
            "host" if value.starts_with('/') => options.socket(&value),
            "host" | "hostaddr" => options.host(&value),
            "port" => options.port(value.parse().map_err(|_| wrong())?),
            "dbname" => options.database(&value),
            "user" => options.username(&value),
            "password" => options.password(&value),
            "application_name" => options.application_name(&value),
            "sslmode" => options.ssl_mode(PgSslMode::from_str(&value).map_err(|_| wrong())?),
            "sslrootcert" => options.ssl_root_cert(&value),
            "sslcert" => options.ssl_client_cert(&value),
            "sslkey" => options.ssl_client_key(&value),
            "connect_timeout" => {
                let seconds: u64 = value.parse().map_err(|_| wrong())?;
                // 0 means without end there.
                timeout = if seconds == 0 { TIMEOUT } else { Duration::from_secs(seconds) };
                options
            }
            "client_encoding"
            | "fallback_application_name"
            | "gssencmode"
            | "keepalives"
            | "keepalives_count"
            | "keepalives_idle"
            | "keepalives_interval"
            | "krbsrvname"
            | "options"
            | "sslcompression"
            | "target_session_attrs"
            | "tcp_user_timeout" => {
                tracing::warn!("connection string: {name} has no effect here");
                options
            }
            _ => return Err(Invalid::Unknown(name)),
        };
    }
    Ok((options, timeout))
}

/// Names and values: blanks around `=` are allowed, quotes hold blanks, a backslash protects the next character.
fn pairs(text: &str) -> Result<Vec<(String, String)>, Invalid> {
    let mut pairs = Vec::new();
    let mut rest = text.char_indices().peekable();
    loop {
        while rest.next_if(|(_, c)| c.is_whitespace()).is_some() {}
        let Some(&(begin, _)) = rest.peek() else { return Ok(pairs) };
        let mut name = String::new();
        while let Some((_, c)) = rest.next_if(|(_, c)| *c != '=' && !c.is_whitespace()) {
            name.push(c);
        }
        while rest.next_if(|(_, c)| c.is_whitespace()).is_some() {}
        if name.is_empty() || rest.next_if(|(_, c)| *c == '=').is_none() {
            return Err(Invalid::Syntax(begin));
        }
        while rest.next_if(|(_, c)| c.is_whitespace()).is_some() {}
        let quoted = rest.next_if(|(_, c)| *c == '\'').is_some();
        let mut value = String::new();
        loop {
            match rest.next() {
                Some((_, '\\')) => value.extend(rest.next().map(|(_, c)| c)),
                Some((_, '\'')) if quoted => break,
                Some((_, c)) if !quoted && c.is_whitespace() => break,
                Some((_, c)) => value.push(c),
                None if quoted => return Err(Invalid::Syntax(begin)),
                None => break,
            }
        }
        pairs.push((name, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_as_libpq_has_them() {
        let read =
            pairs(r"host=db  dbname = 'two words' password='it\'s' user=a\ b port=''").unwrap();
        let wanted = [
            ("host", "db"),
            ("dbname", "two words"),
            ("password", "it's"),
            ("user", "a b"),
            ("port", ""),
        ];
        assert_eq!(read, wanted.map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert_eq!(pairs("host"), Err(Invalid::Syntax(0)));
        assert_eq!(pairs("a=b password='open"), Err(Invalid::Syntax(4)));
    }

    #[test]
    fn an_unknown_option_is_named_and_a_password_never() {
        assert_eq!(read("hots=db").unwrap_err(), Invalid::Unknown("hots".into()));
        let error = read("port=secret").unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
        let (options, timeout) = read("pgsql://host=db port=6000 connect_timeout=3").unwrap();
        assert_eq!((options.get_host(), options.get_port()), ("db", 6000));
        assert_eq!(timeout, Duration::from_secs(3));
        let (options, _) = read("host=db port='' password='' options=''").unwrap();
        assert_eq!((options.get_host(), options.get_port()), ("db", 5432));
    }

    proptest::proptest! {
        #[test]
        fn reading_never_panics(text in "\\PC{0,60}") {
            let _either = pairs(&text);
        }
    }
}
