//! Requests that carry recordings: a part for each field, and one for each file.
//!
//! Files are listed apart from the fields: whatever a server calls a field, it stays one.

use bytes::Bytes;
use http_client::multipart;

use crate::form::Form;

/// Longest file sent, bytes.
const LONGEST: u64 = 100 << 20;

/// A recording on its way to the server; it is removed once it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attachment {
    /// The field.
    pub(crate) name: String,
    /// The name the server is told.
    pub(crate) file: String,
    pub(crate) path: String,
}

/// The body and its content type; `None` when there is no file.
pub(crate) async fn body(
    form: &Form,
    files: &[Attachment],
) -> Result<Option<(String, Bytes)>, String> {
    if files.is_empty() {
        return Ok(None);
    }
    let mut parts = multipart::Form::default();
    form.iter().for_each(|(name, value)| parts.field(name, value));
    for file in files {
        parts.file(&file.name, &file.file, &read(&file.path).await?);
    }
    Ok(Some(parts.finish()))
}

async fn read(path: &str) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| format!("{path}: {error}");
    let long = tokio::fs::metadata(path).await.map_err(failed)?.len();
    if long > LONGEST {
        return Err(format!("{path}: {long} bytes are too many to send"));
    }
    tokio::fs::read(path).await.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_form_with_a_file_has_parts_and_one_without_has_none() {
        let path = std::env::temp_dir().join(format!("httapi-{}.wav", uuid::Uuid::new_v4()));
        std::fs::write(&path, b"RIFF").unwrap();
        let mut form = Form::default();
        form.set("session_id", "1");
        form.set("attach_file:x:y", "/etc/hostname");
        assert_eq!(body(&form, &[]).await, Ok(None));
        let file = Attachment {
            name: "message".into(),
            file: "a.wav".into(),
            path: path.to_string_lossy().into_owned(),
        };
        let files = [file];
        let (kind, sent) = body(&form, &files).await.unwrap().unwrap();
        let sent = String::from_utf8(sent.to_vec()).unwrap();
        assert!(kind.starts_with("multipart/form-data; boundary=---"));
        assert!(sent.contains("name=\"session_id\"\r\n\r\n1\r\n"));
        assert!(sent.contains("name=\"attach_file:x:y\"\r\n\r\n/etc/hostname\r\n"));
        assert!(sent.contains("name=\"message\"; filename=\"a.wav\"") && sent.contains("RIFF"));
        std::fs::remove_file(&path).unwrap();
        assert!(body(&form, &files).await.is_err());
    }
}
