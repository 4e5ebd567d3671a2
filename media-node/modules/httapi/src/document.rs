//! A server's answer: what it sets, and the work it wants done.

use std::sync::Arc;

use dialplan_xml::expand::expand_event_async;
use dialplan_xml::{Host, Later, Node, Tree};
use parking_lot::Mutex;
use switch_core::call::{Channel, Interrupt, Session};
use switch_core::clock;

use crate::actions::{Next, Worker};
use crate::client::Client;
use crate::settings::{Profile, allows};

/// Reads an answer. Of a broken document what stands before the first error is done, as in the reference.
pub(crate) fn parse(body: &[u8]) -> Option<Tree> {
    dialplan_xml::parse_until_error(&String::from_utf8_lossy(body))
}

/// Does what an answer says.
pub(crate) async fn run(
    session: &mut Session,
    client: &Arc<Mutex<Client>>,
    tree: &Tree,
) -> Result<Next, Interrupt> {
    let channel = Arc::clone(session.channel());
    let profile = Arc::clone(&client.lock().profile);
    set(&channel, client, &profile, tree.root());
    let mut worker = Worker::new(session, Arc::clone(client), Arc::clone(&profile));
    let (mut next, mut runs) = (Next::Leave, 0);
    for tag in tree.root().child("work").into_iter().flat_map(Node::children) {
        if !Worker::knows(tag.name()) {
            tracing::warn!(uuid = %channel.uuid(), "Unsupported Tag: [{}]", tag.name());
            return Ok(Next::Leave);
        }
        runs += 1;
        tracing::debug!(uuid = %channel.uuid(), "Process Tag: [{}]", tag.name());
        let text = expanded(&channel, client, &profile, tag.text());
        let text = worker.session.wait_for(text).await?;
        next = worker.work(tag, &text).await?;
        if next == Next::Leave {
            break;
        }
    }
    if runs == 0 {
        tracing::warn!(uuid = %channel.uuid(), "No instructions found in result!");
        return Ok(Next::Leave);
    }
    Ok(next)
}

/// `<params>` and `<variables>`.
fn set(channel: &Channel, client: &Mutex<Client>, profile: &Profile, root: Node<'_>) {
    let permissions = &profile.permissions;
    let fields = |name: &str| root.child(name).into_iter().flat_map(Node::children);
    if permissions.set_params {
        let mut client = client.lock();
        for field in fields("params").filter(|field| !field.text().is_empty()) {
            client.params.set(field.name(), field.text());
        }
    }
    if permissions.set_vars {
        for field in fields("variables") {
            if allows(permissions.set_list.as_ref(), field.name()) {
                match field.text() {
                    "" => channel.unset_var(field.name()),
                    value => channel.set_var(field.name().to_owned(), value),
                }
            } else {
                tracing::error!(uuid = %channel.uuid(), "variable {} permission denied!", field.name());
            }
        }
    }
}

/// The text of an action with variables and commands filled in, where the profile permits it.
async fn expanded(
    channel: &Arc<Channel>,
    client: &Mutex<Client>,
    profile: &Arc<Profile>,
    text: &str,
) -> String {
    if !profile.permissions.expand_vars || !text.contains(['$', '\\']) {
        return text.to_owned();
    }
    let params = client.lock().params.clone();
    let mut host = Permitted { channel, profile, params: &params };
    expand_event_async(text, &mut host).await
}

struct Permitted<'a> {
    channel: &'a Arc<Channel>,
    profile: &'a Profile,
    params: &'a crate::form::Form,
}

impl Host for Permitted<'_> {
    /// A list that is there holds for every variable; the reference looks at it for global ones only.
    fn variable(&mut self, name: &str) -> Option<String> {
        if !allows(self.profile.permissions.expand_list.as_ref(), name) {
            return Some("<Variable Expansion Permission Denied>".into());
        }
        self.params.get(name).map(str::to_owned).or_else(|| self.channel.variable_marked(name))
    }

    fn set_variable(&mut self, _: &str, _: Option<&str>) {}

    fn field(&mut self, _: &str) -> Option<String> {
        None
    }

    fn global(&self, name: &str) -> Option<String> {
        allows(self.profile.permissions.expand_list.as_ref(), name)
            .then(|| self.channel.switch().global_marked(name))?
    }

    fn api<'a>(&'a mut self, command: &'a str, args: &'a str) -> Later<'a, Option<String>> {
        if !allows(self.profile.permissions.api_list.as_ref(), command) {
            return Later::Now(Some("<API execute Permission Denied>".into()));
        }
        Later::Wait(Box::pin(self.channel.switch().run_api_marked(command, args, None)))
    }

    fn run_inline<'a>(&'a mut self, _: &'a str, _: &'a str) -> Later<'a, ()> {
        Later::Now(())
    }

    fn now(&self) -> jiff::Timestamp {
        clock::timestamp()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn actions(body: &str) -> Vec<String> {
        let Some(tree) = parse(body.as_bytes()) else { return Vec::new() };
        let work = tree.root().child("work");
        work.into_iter().flat_map(Node::children).map(|tag| tag.name().to_owned()).collect()
    }

    #[test]
    fn of_a_broken_answer_what_stands_before_the_error_is_left() {
        let head = "<document type=\"xml/freeswitch-httapi\"><work>";
        assert_eq!(
            actions(&format!("{head}<answer/><playback file='a'/></work></document>")).len(),
            2
        );
        assert_eq!(
            actions(&format!("{head}<answer/><playback file='a'/>")),
            ["answer", "playback"]
        );
        assert_eq!(actions(&format!("{head}<answer/><playback file='a'")), ["answer"]);
        assert_eq!(actions("not xml"), [""; 0]);
        assert_eq!(actions(""), [""; 0]);
    }

    proptest! {
        #[test]
        fn whatever_a_server_sends_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _read = parse(&bytes);
        }

        #[test]
        fn a_document_cut_anywhere_has_no_more_actions_than_the_whole(at in 0usize..240) {
            let whole = "<document><params><a>b</a></params><work><playback name=\"n\" file=\"f\"><bind strip=\"#\">~\\d+#</bind>\
                         </playback><execute application=\"set\" data=\"a=b\"/><log level=\"info\">x &amp; y</log><hangup/></work></document>";
            let at = at.min(whole.len());
            let (cut, all) = (actions(&whole[..at]), actions(whole));
            prop_assert!(cut.len() <= all.len());
            prop_assert_eq!(&all[..cut.len()], &cut[..]);
        }
    }
}
