//! XML-RPC: reading a call, writing an answer. Methods `freeswitch.api` and `freeswitch_api` with two strings.

use base::xml::in_xml;
use dialplan_xml::Node;

/// A command and its arguments.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) command: String,
    pub(super) arguments: String,
}

/// What is wrong with a call: code and text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault(i32, &'static str);

/// Reads a `methodCall`.
pub(super) fn read(body: &[u8]) -> Result<Call, Fault> {
    let text = std::str::from_utf8(body).map_err(|_| Fault(-503, "not UTF-8"))?;
    let tree = dialplan_xml::parse_raw(text, "RPC2").tree.ok_or(Fault(-503, "not XML"))?;
    let root = tree.root();
    if root.name() != "methodCall" {
        return Err(Fault(-503, "no methodCall"));
    }
    let method = root.child("methodName").map(|node| node.text().trim()).unwrap_or_default();
    if !matches!(method, "freeswitch.api" | "freeswitch_api") {
        return Err(Fault(-506, "there is no such method"));
    }
    let params = root.child("params").into_iter();
    let mut values = params
        .flat_map(|params| params.children_named("param"))
        .filter_map(|param| param.child("value"))
        .map(text_of);
    match (values.next(), values.next(), values.next()) {
        (Some(command), Some(arguments), None) => Ok(Call { command, arguments }),
        _ => Err(Fault(-501, "two strings: a command and its arguments")),
    }
}

/// A value that is a string: in an element of its type, or bare.
fn text_of(value: Node<'_>) -> String {
    value.child("string").map_or_else(|| value.text(), |inner| inner.text()).to_owned()
}

/// A `methodResponse` with a string.
pub(super) fn answer(output: &str) -> String {
    let text = in_xml(output);
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<methodResponse>\r\n<params>\r\n<param><value><string>{text}</string></value></param>\r\n</params>\r\n</methodResponse>\r\n"
    )
}

/// A `methodResponse` that says what is wrong.
pub(super) fn fault(Fault(code, text): &Fault) -> String {
    let text = in_xml(text);
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<methodResponse>\r\n<fault>\r\n<value><struct>\r\n<member><name>faultCode</name><value><int>{code}</int></value></member>\r\n<member><name>faultString</name><value><string>{text}</string></value></member>\r\n</struct></value>\r\n</fault>\r\n</methodResponse>\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: &str, params: &str) -> Result<Call, Fault> {
        read(format!("<?xml version=\"1.0\"?><methodCall><methodName>{method}</methodName><params>{params}</params></methodCall>").as_bytes())
    }

    #[test]
    fn strings_stand_in_their_element_or_bare() {
        let both = "<param><value><string>show</string></value></param><param><value>calls &amp; more</value></param>";
        let wanted = Call { command: "show".into(), arguments: "calls & more".into() };
        assert_eq!(call("freeswitch.api", both), Ok(wanted));
        assert_eq!(call("system.halt", both), Err(Fault(-506, "there is no such method")));
        assert!(call("freeswitch.api", "<param><value>one</value></param>").is_err());
        assert!(read(b"nonsense").is_err() && read(&[0xff]).is_err());
    }

    #[test]
    fn an_answer_is_text_whatever_the_command_said() {
        let answer = answer("a<b>&\u{1}");
        assert!(answer.contains("<string>a&lt;b&gt;&amp;</string>"), "{answer}");
    }
}
