//! Small routing modules, one file each: who is refused ([`blacklist`]), who calls ([`cidlookup`]), which carrier takes a
//! call ([`distributor`], [`easyroute`], [`lcr`]), and what it costs ([`nibblebill`]).

#![deny(unsafe_code)]

mod blacklist;
mod cidlookup;
mod conf;
mod distributor;
mod easyroute;
mod lcr;
mod nibblebill;

use switch_core::contract::Module;

/// All of them.
pub const MODULES: &[&dyn Module] = &[
    &blacklist::Blacklist,
    &cidlookup::CidLookup,
    &distributor::Distributor,
    &easyroute::Easyroute,
    &lcr::Lcr,
    &nibblebill::Nibblebill,
];
