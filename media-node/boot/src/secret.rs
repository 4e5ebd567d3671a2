//! The password of a first run.
//!
//! The shipped directory has phones 1000-1019. A password everybody knows would let anybody register
//! and call out, and none at all would make the first call a chore; so each installation makes its own
//! once, keeps it in the database directory, readable by the owner only, and offers it to the
//! configuration as `$${generated_password}`.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// File in the database directory.
pub const PASSWORD_FILE: &str = "generated_password";
/// Global variable.
pub const PASSWORD_VARIABLE: &str = "generated_password";

/// Characters that are not taken for one another when read aloud or typed on a phone.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// 16 characters of 32 are 80 bits.
const LENGTH: usize = 16;

/// The password, and whether it was made just now.
#[derive(Clone)]
pub struct Generated {
    /// The password itself.
    pub password: String,
    /// Where it is kept.
    pub path: PathBuf,
    /// True on the run that made it.
    pub fresh: bool,
}

/// Reads the installation's password, or makes it.
///
/// # Errors
/// The file can neither be read nor written, or there is no randomness.
pub fn installation_password(db_dir: &Path) -> io::Result<Generated> {
    let path = db_dir.join(PASSWORD_FILE);
    match read_private(&path) {
        Ok(text) if text.trim().len() >= LENGTH => {
            let password = text.trim().to_owned();
            return Ok(Generated { password, path, fresh: false });
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let password = random_password()?;
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(nix::libc::O_NOFOLLOW)
        .open(&path)?;
    writeln!(file, "{password}")?;
    Ok(Generated { password, path, fresh: true })
}

/// Follows no link: root may read what the owner of the directory may not.
fn read_private(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let mut file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NOFOLLOW).open(path)?;
    file.read_to_string(&mut text)?;
    Ok(text)
}

fn random_password() -> io::Result<String> {
    let mut bytes = [0_u8; LENGTH];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    // 32 divides 256: every character is equally likely.
    let letters = bytes.iter().map(|b| char::from(ALPHABET[usize::from(b % 32)]));
    Ok(letters.collect())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use base::scratch::Scratch;

    #[test]
    fn made_once_kept_private_and_found_again() {
        let dir = Scratch::new("secret");
        let first = installation_password(dir.path()).expect("made");
        assert!(first.fresh);
        assert_eq!(first.password.len(), LENGTH);
        let mode = fs::metadata(&first.path).expect("file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let second = installation_password(dir.path()).expect("kept");
        assert!(!second.fresh);
        assert_eq!(second.password, first.password);
    }

    #[test]
    fn two_installations_differ() {
        let (a, b) = (Scratch::new("secret"), Scratch::new("secret"));
        let password = |dir: &Scratch| installation_password(dir.path()).expect("made").password;
        assert_ne!(password(&a), password(&b));
    }

    #[test]
    fn an_empty_file_is_not_a_password() {
        let dir = Scratch::new("secret");
        fs::write(dir.path().join(PASSWORD_FILE), "\n").expect("file");
        assert!(installation_password(dir.path()).expect("made").fresh);
    }
}
