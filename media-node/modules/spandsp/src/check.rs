//! What `check` says of faxes: whether the library is where this configuration needs it.

use dialplan_xml::{Diagnostic, Tree};

/// Looks for the library if the configuration loads the module; a dialplan that sends or receives faxes is warned of. It
/// blocks.
#[must_use]
pub fn check(tree: &Tree) -> Option<Diagnostic> {
    let loaded = dialplan_xml::check::loaded_modules(tree);
    if loaded.is_some_and(|loaded| !loaded.contains("mod_spandsp")) {
        return None;
    }
    let conf = tree.configuration("spandsp.conf");
    let mut params = conf.into_iter().flat_map(|conf| conf.descendants());
    let library = params.find(|node| node.attr("name") == Some("library"));
    let name = library.map_or("", |node| node.attr_or_empty("value"));
    let missing = fax::Library::load(name).err()?.to_string();
    let faxes = |node: &dialplan_xml::Node<'_>| {
        matches!(node.attr("application"), Some("rxfax" | "txfax" | "t38_gateway"))
    };
    let used = tree.section("dialplan").and_then(|section| section.descendants().find(faxes));
    Some(match (used, library) {
        (Some(action), _) => {
            Diagnostic::warning("application-without-effect", missing, Some(action.place()))
        }
        (None, Some(named)) => {
            Diagnostic::warning("module-without-effect", missing, Some(named.place()))
        }
        (None, None) => Diagnostic::info("module-without-effect", missing, None),
    })
}

#[cfg(test)]
mod tests {
    use dialplan_xml::Severity;

    use super::*;

    fn tree(configuration: &str, dialplan: &str) -> Tree {
        let text = format!(
            "<document><section name=\"configuration\">{configuration}</section>\
             <section name=\"dialplan\">{dialplan}</section></document>"
        );
        dialplan_xml::parse_raw(&text, "test.xml").tree.unwrap()
    }

    #[test]
    fn a_dialplan_that_faxes_without_the_library_is_warned_of() {
        let conf = "<configuration name=\"spandsp.conf\"><fax-settings>\
            <param name=\"library\" value=\"/nonexistent\"/></fax-settings></configuration>";
        let action = "<action application=\"rxfax\" data=\"/x.tif\"/>";
        let cases = [(action, "application-without-effect"), ("", "module-without-effect")];
        for (dialplan, code) in cases {
            let found = check(&tree(conf, dialplan)).unwrap();
            assert_eq!((found.code, found.severity), (code, Severity::Warning));
            assert!(found.message.contains("libspandsp2"), "{}", found.message);
        }
        let modules = "<configuration name=\"modules.conf\"><modules>\
            <load module=\"mod_dptools\"/></modules></configuration>";
        assert_eq!(check(&tree(&format!("{conf}{modules}"), action)), None);
    }
}
