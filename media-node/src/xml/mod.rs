//! XML that comes from elsewhere (mod_xml_curl): asked before the static files.

use std::sync::Arc;

use dialplan_xml::dialplan::Dialplan;

use crate::call::Channel;
use crate::switch::Switch;

/// A dialplan from a binding; `None` when no binding answers for this section.
pub async fn dialplan(
    _switch: &Arc<Switch>,
    _channel: &Arc<Channel>,
    _context: &str,
) -> Option<Arc<Dialplan>> {
    None
}
