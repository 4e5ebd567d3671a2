//! FreeSWITCH XML.
