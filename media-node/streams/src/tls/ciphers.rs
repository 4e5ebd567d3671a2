//! `tls-ciphers`: OpenSSL's lists of cipher suites, read for the suites there are here.
//!
//! As in OpenSSL the list concerns TLS 1.2 only; the suites of TLS 1.3 are always offered.

use rustls::{CipherSuite, SupportedCipherSuite};

/// The suites a list leaves, in its order; `None` if it leaves none of TLS 1.2.
pub(super) fn chosen(
    list: &str,
    all: &[SupportedCipherSuite],
) -> Option<Vec<SupportedCipherSuite>> {
    let (newer, older): (Vec<_>, Vec<_>) =
        all.iter().partition(|suite| matches!(suite, SupportedCipherSuite::Tls13(_)));
    let mut chosen: Vec<SupportedCipherSuite> = Vec::new();
    let mut banned: Vec<SupportedCipherSuite> = Vec::new();
    for word in list.split([':', ',', ' ']).filter(|word| !word.is_empty()) {
        let matching = |word: &str| -> Vec<SupportedCipherSuite> {
            older.iter().copied().filter(|suite| fits(word, name(*suite))).collect()
        };
        match word.split_at(1) {
            ("@", _) => {} // @STRENGTH, @SECLEVEL: every suite here is strong.
            ("!", rest) => banned.extend(matching(rest)),
            ("-", rest) => {
                let out = matching(rest);
                chosen.retain(|suite| !out.contains(suite));
            }
            ("+", rest) => {
                let last = matching(rest);
                let (moved, kept) = chosen.iter().partition(|suite| last.contains(suite));
                chosen = kept;
                chosen.extend::<Vec<_>>(moved);
            }
            _ => {
                for suite in matching(word) {
                    if !chosen.contains(&suite) {
                        chosen.push(suite);
                    }
                }
            }
        }
    }
    chosen.retain(|suite| !banned.contains(suite));
    if chosen.is_empty() {
        return None;
    }
    Some(newer.into_iter().chain(chosen).collect())
}

/// OpenSSL's name of a suite of TLS 1.2; empty for one it does not know.
fn name(suite: SupportedCipherSuite) -> &'static str {
    match suite.suite() {
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "ECDHE-ECDSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => {
            "ECDHE-ECDSA-CHACHA20-POLY1305"
        }
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "ECDHE-RSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "ECDHE-RSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-RSA-CHACHA20-POLY1305",
        _ => "",
    }
}

/// Does a word of the list, a name or classes joined by `+`, mean this suite?
fn fits(word: &str, name: &str) -> bool {
    let upper = word.to_ascii_uppercase();
    upper == name
        || upper.split('+').all(|class| match class {
            "ALL" | "DEFAULT" | "HIGH" | "TLSV1.2" | "ECDHE" | "EECDH" | "KECDHE" | "AEAD" => true,
            "AES" => name.contains("AES"),
            "AESGCM" => name.contains("GCM"),
            "AES128" => name.contains("AES128"),
            "AES256" => name.contains("AES256"),
            "CHACHA20" => name.contains("CHACHA20"),
            "RSA" | "ARSA" => name.contains("-RSA-"),
            "ECDSA" | "AECDSA" => name.contains("-ECDSA-"),
            "SHA256" => !name.ends_with("SHA384"),
            "SHA384" => name.ends_with("SHA384"),
            _ => false,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::crypto::ring::ALL_CIPHER_SUITES;

    fn left(list: &str) -> Vec<String> {
        let chosen = chosen(list, ALL_CIPHER_SUITES).unwrap_or_default();
        let older = chosen.into_iter().filter(|s| matches!(s, SupportedCipherSuite::Tls12(_)));
        older.map(|suite| format!("{:?}", suite.suite())).collect()
    }

    #[test]
    fn lists_are_read_as_openssl_reads_them() {
        assert_eq!(left("ECDHE-RSA-AES128-GCM-SHA256"), ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]);
        assert_eq!(
            left("ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-CHACHA20-POLY1305"),
            [
                "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
                "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"
            ]
        );
        // What the reference's files and the field's guides say.
        assert_eq!(left("ALL:!ADH:!LOW:!EXP:!MD5:@STRENGTH").len(), 6);
        assert_eq!(left("HIGH:!CHACHA20:!ECDSA").len(), 2);
        assert_eq!(left("EECDH+AESGCM:-AES128").len(), 2);
        assert!(left("RC4-SHA:DES-CBC3-SHA").is_empty());
    }
}
