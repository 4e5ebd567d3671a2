//! The crypto suites of RFC 4568, RFC 6188 and RFC 7714.

/// A crypto suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are those of the RFCs")]
pub enum Suite {
    AeadAes256Gcm8,
    AeadAes256Gcm,
    AeadAes128Gcm8,
    AeadAes128Gcm,
    Aes256CmSha80,
    Aes192CmSha80,
    Aes128CmSha80,
    Aes256CmSha32,
    Aes192CmSha32,
    Aes128CmSha32,
    Aes128CmNullAuth,
}

impl Suite {
    /// All of them, in the reference's order of preference; its tags count them from one.
    pub const ALL: [Self; 11] = [
        Self::AeadAes256Gcm8,
        Self::AeadAes256Gcm,
        Self::AeadAes128Gcm8,
        Self::AeadAes128Gcm,
        Self::Aes256CmSha80,
        Self::Aes192CmSha80,
        Self::Aes128CmSha80,
        Self::Aes256CmSha32,
        Self::Aes192CmSha32,
        Self::Aes128CmSha32,
        Self::Aes128CmNullAuth,
    ];

    /// The suite of this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.name().eq_ignore_ascii_case(name))
    }

    /// Name as in `a=crypto`.
    pub fn name(self) -> &'static str {
        match self {
            Self::AeadAes256Gcm8 => "AEAD_AES_256_GCM_8",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
            Self::AeadAes128Gcm8 => "AEAD_AES_128_GCM_8",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::Aes256CmSha80 => "AES_256_CM_HMAC_SHA1_80",
            Self::Aes192CmSha80 => "AES_192_CM_HMAC_SHA1_80",
            Self::Aes128CmSha80 => "AES_CM_128_HMAC_SHA1_80",
            Self::Aes256CmSha32 => "AES_256_CM_HMAC_SHA1_32",
            Self::Aes192CmSha32 => "AES_192_CM_HMAC_SHA1_32",
            Self::Aes128CmSha32 => "AES_CM_128_HMAC_SHA1_32",
            Self::Aes128CmNullAuth => "AES_CM_128_NULL_AUTH",
        }
    }

    /// The tag the reference gives it in offers.
    pub fn tag(self) -> u32 {
        Self::ALL.into_iter().position(|suite| suite == self).map_or(0, |n| n as u32 + 1)
    }

    /// Whether a packet's origin is verified.
    pub fn authenticates(self) -> bool {
        self != Self::Aes128CmNullAuth
    }

    /// Octets of the master key.
    pub fn key_len(self) -> usize {
        match self {
            Self::AeadAes256Gcm8
            | Self::AeadAes256Gcm
            | Self::Aes256CmSha80
            | Self::Aes256CmSha32 => 32,
            Self::Aes192CmSha80 | Self::Aes192CmSha32 => 24,
            _ => 16,
        }
    }

    /// Octets of the master salt.
    pub fn salt_len(self) -> usize {
        if self.is_aead() { 12 } else { 14 }
    }

    pub(super) fn is_aead(self) -> bool {
        matches!(
            self,
            Self::AeadAes256Gcm8 | Self::AeadAes256Gcm | Self::AeadAes128Gcm8 | Self::AeadAes128Gcm
        )
    }

    /// Octets of the tag of an RTP packet.
    pub(super) fn rtp_tag(self) -> usize {
        match self {
            Self::AeadAes256Gcm | Self::AeadAes128Gcm => 16,
            Self::AeadAes256Gcm8 | Self::AeadAes128Gcm8 => 8,
            Self::Aes256CmSha80 | Self::Aes192CmSha80 | Self::Aes128CmSha80 => 10,
            Self::Aes256CmSha32 | Self::Aes192CmSha32 | Self::Aes128CmSha32 => 4,
            Self::Aes128CmNullAuth => 0,
        }
    }

    /// Octets of the tag of an RTCP packet: with HMAC always 80 bits (RFC 3711 §5.2).
    pub(super) fn rtcp_tag(self) -> usize {
        match self {
            Self::Aes256CmSha32 | Self::Aes192CmSha32 | Self::Aes128CmSha32 => 10,
            other => other.rtp_tag(),
        }
    }

    /// Octets after the key identifier of an RTCP packet: with AEAD the tag stands before the index.
    pub(super) fn rtcp_trailer(self) -> usize {
        if self.is_aead() { 0 } else { self.rtcp_tag() }
    }
}
