//! `multipart/form-data` (RFC 7578): fields and files in one body.

use bytes::Bytes;

/// A form as it is written.
pub struct Form {
    boundary: String,
    body: Vec<u8>,
}

impl Default for Form {
    fn default() -> Self {
        let boundary = format!("------------------------{}", uuid::Uuid::new_v4().simple());
        Self { boundary, body: Vec::new() }
    }
}

impl Form {
    fn begin(&mut self, name: &str) {
        let Self { boundary, body } = self;
        let head =
            format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"", quoted(name));
        body.extend_from_slice(head.as_bytes());
    }

    /// Adds a field.
    pub fn field(&mut self, name: &str, value: &str) {
        self.begin(name);
        self.body.extend_from_slice(format!("\r\n\r\n{value}\r\n").as_bytes());
    }

    /// Adds a file.
    pub fn file(&mut self, name: &str, file: &str, content: &[u8]) {
        self.begin(name);
        let head = format!(
            "; filename=\"{}\"\r\nContent-Type: application/octet-stream\r\n\r\n",
            quoted(file)
        );
        self.body.extend_from_slice(head.as_bytes());
        self.body.extend_from_slice(content);
        self.body.extend_from_slice(b"\r\n");
    }

    /// The content type, and the body.
    #[must_use]
    pub fn finish(mut self) -> (String, Bytes) {
        self.body.extend_from_slice(format!("--{}--\r\n", self.boundary).as_bytes());
        (format!("multipart/form-data; boundary={}", self.boundary), self.body.into())
    }
}

/// A name that can leave neither its quotes nor its line.
fn quoted(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_files_are_parts_in_their_order() {
        let mut form = Form::default();
        form.field("a", "1");
        form.file("b\"\r\n", "c.wav", b"RIFF");
        let (kind, body) = form.finish();
        let boundary = kind.strip_prefix("multipart/form-data; boundary=").unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert_eq!(
            body.replace(boundary, "B"),
            "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n\
             --B\r\nContent-Disposition: form-data; name=\"b%22%0D%0A\"; filename=\"c.wav\"\r\n\
             Content-Type: application/octet-stream\r\n\r\nRIFF\r\n--B--\r\n"
        );
    }
}
