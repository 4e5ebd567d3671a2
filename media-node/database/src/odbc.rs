//! Where databases are: the reference's names for them, and what ODBC's files say.
//!
//! `sqlite://NAME` and a bare name are files of SQLite (`NAME.db` in the folder for databases, or the path that is given),
//! `pgsql://…` is PostgreSQL in libpq's words. `odbc://DSN:USER:PASSWORD`, and `DSN:USER:PASSWORD`, name a section of
//! `odbc.ini`: its `Driver` says whether it is PostgreSQL or SQLite, its other lines where; no driver is loaded.

use std::path::{Path, PathBuf};

/// A database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A file of SQLite.
    Sqlite(PathBuf),
    /// A connection string ([`crate::conninfo`]).
    Postgres(String),
}

/// Why a name stands for no database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// The name is empty.
    #[error("no database is named")]
    Empty,
    /// A kind of database that cannot be used.
    #[error("{0}: databases of that kind are not known")]
    Kind(String),
    /// ODBC's file does not have it.
    #[error("odbc.ini has no section {0}")]
    Section(String),
    /// ODBC would need a driver that cannot be used.
    #[error("odbc.ini: the driver of {0} is neither PostgreSQL's nor SQLite's")]
    Driver(String),
    /// A section of ODBC's file with SQLite's driver does not say which file.
    #[error("odbc.ini: the section {0} has no Database")]
    NoFile(String),
}

/// Finds the database of that name. `ini` gives the text of ODBC's file when it is needed.
///
/// # Errors
/// [`Unknown`].
pub fn find(name: &str, db_dir: &Path, ini: impl FnOnce() -> String) -> Result<Target, Unknown> {
    if name.is_empty() {
        return Err(Unknown::Empty);
    }
    if let Some(file) = name.strip_prefix("sqlite://").or_else(|| name.strip_prefix("core://")) {
        return Ok(Target::Sqlite(file_of(file, db_dir)));
    }
    for address in ["postgresql://", "postgres://"] {
        if name.starts_with(address) && !name.contains(' ') {
            return Ok(Target::Postgres(name.to_owned()));
        }
    }
    for prefix in ["pgsql://", "postgresql://", "postgres://"] {
        if let Some(words) = name.strip_prefix(prefix) {
            return Ok(Target::Postgres(words.to_owned()));
        }
    }
    if let Some(section) = name.strip_prefix("odbc://") {
        return of_section(section, &ini(), db_dir);
    }
    match name.split_once("://") {
        Some((kind, _)) => Err(Unknown::Kind(kind.to_owned())),
        None if name.contains(':') => of_section(name, &ini(), db_dir),
        None => Ok(Target::Sqlite(file_of(name, db_dir))),
    }
}

fn file_of(name: &str, db_dir: &Path) -> PathBuf {
    if name.starts_with('/') { PathBuf::from(name) } else { db_dir.join(format!("{name}.db")) }
}

/// `DSN:USER:PASSWORD`, which may have `odbc://` in front.
pub(crate) fn of_section(name: &str, ini: &str, db_dir: &Path) -> Result<Target, Unknown> {
    let mut parts = name.splitn(3, ':');
    let section = parts.next().unwrap_or_default();
    let (user, password) = (parts.next(), parts.next());
    let lines = lines_of(ini, section).ok_or_else(|| Unknown::Section(section.to_owned()))?;
    let value = |names: &[&str]| {
        let known = |name: &str| names.iter().any(|own| own.eq_ignore_ascii_case(name));
        lines.iter().find(|(name, value)| known(name) && !value.is_empty()).map(|(_, value)| *value)
    };
    let driver = value(&["Driver"]).unwrap_or_default().to_ascii_lowercase();
    if driver.contains("sqlite") {
        let file = value(&["Database"]).ok_or_else(|| Unknown::NoFile(section.to_owned()))?;
        return Ok(Target::Sqlite(file_of(file, db_dir)));
    }
    if !driver.contains("postgres") && !driver.contains("psqlodbc") {
        return Err(Unknown::Driver(section.to_owned()));
    }
    let given = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
    let own = |names: &[&str]| value(names).map(str::to_owned);
    let words = [
        ("host", own(&["Servername", "Server", "Host"])),
        ("port", own(&["Port"])),
        ("dbname", own(&["Database"])),
        ("user", given(user).or_else(|| own(&["UserName", "Username", "UID", "User"]))),
        ("password", given(password).or_else(|| own(&["Password", "PWD"]))),
        ("sslmode", own(&["SSLmode"])),
    ];
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'");
    let words = words.iter().filter_map(|(name, value)| {
        value.as_ref().map(|value| format!("{name}='{}'", quoted(value)))
    });
    Ok(Target::Postgres(words.collect::<Vec<_>>().join(" ")))
}

/// The lines of a section of an ini file.
fn lines_of<'i>(ini: &'i str, section: &str) -> Option<Vec<(&'i str, &'i str)>> {
    let header = |line: &str| {
        line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).map(str::to_owned)
    };
    let mut lines = ini.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
    lines.find(|line| header(line).is_some_and(|name| name.eq_ignore_ascii_case(section)))?;
    let inside = lines.take_while(|line| header(line).is_none());
    Some(
        inside.filter_map(|line| line.split_once('=')).map(|(n, v)| (n.trim(), v.trim())).collect(),
    )
}

/// The files ODBC reads: `$ODBCINI`, the user's, the system's. Blocking.
#[must_use]
pub fn system_ini() -> String {
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".odbc.ini"));
    let named = std::env::var_os("ODBCINI").map(PathBuf::from);
    let files = named.into_iter().chain(home).chain([PathBuf::from("/etc/odbc.ini")]);
    files.filter_map(|file| std::fs::read_to_string(file).ok()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const INI: &str = "[ODBC]\nTrace = no\n[fusion]\n; a remark\nDriver = /usr/lib/psqlodbcw.so\nServername=db\n\
                       Database = pbx\nUserName = me\nPassword = it's\n[lite]\nDriver=SQLite3\nDatabase=/x/y.db\n\
                       [other]\nDriver=MySQL\n[bare]\nDriver=SQLite3\nDatabase=\n";

    fn found(name: &str) -> Result<Target, Unknown> {
        find(name, Path::new("/db"), || INI.to_owned())
    }

    #[test]
    fn names_of_databases_as_the_reference_knows_them() {
        let file = |path: &str| Ok(Target::Sqlite(PathBuf::from(path)));
        assert_eq!(found("sqlite://things"), file("/db/things.db"));
        assert_eq!(found("sqlite:///tmp/x.sqlite"), file("/tmp/x.sqlite"));
        assert_eq!(found("core"), file("/db/core.db"));
        let postgres = |words: &str| Ok(Target::Postgres(words.to_owned()));
        assert_eq!(found("pgsql://host=a dbname=b"), postgres("host=a dbname=b"));
        assert_eq!(found("mariadb://Server=x"), Err(Unknown::Kind("mariadb".to_owned())));
    }

    #[test]
    fn odbc_sections_become_databases() {
        let words = "host='db' dbname='pbx' user='you' password='x'";
        assert_eq!(found("odbc://fusion:you:x"), Ok(Target::Postgres(words.to_owned())));
        let own = r"host='db' dbname='pbx' user='me' password='it\'s'";
        assert_eq!(found("fusion::"), Ok(Target::Postgres(own.to_owned())));
        assert_eq!(found("odbc://lite"), Ok(Target::Sqlite(PathBuf::from("/x/y.db"))));
        assert_eq!(found("odbc://other"), Err(Unknown::Driver("other".to_owned())));
        assert_eq!(found("odbc://bare"), Err(Unknown::NoFile("bare".to_owned())));
        assert_eq!(found("odbc://none"), Err(Unknown::Section("none".to_owned())));
    }
}
