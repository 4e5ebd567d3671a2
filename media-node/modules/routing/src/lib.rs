//! Small routing modules (mod_blacklist, mod_cidlookup, mod_lcr, mod_nibblebill, mod_easyroute, mod_distributor).

#![deny(unsafe_code)]
