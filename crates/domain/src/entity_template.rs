//! An entity as text with gaps: every view of it is a few copies, without parsing it again.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::json_pointer::below;
use crate::secret::{MASK, SecretReference, SecretValue};
use crate::secret_swap::{SecretIndex, StoredForm};

/// What one caller gets of a connection. Ordered: a later one shows more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum View {
    /// No connection at all.
    Hidden,
    /// Secrets as nine asterisks.
    Masked,
    /// Secrets as references.
    References,
    /// Secrets in clear.
    Plaintext,
}

impl View {
    /// The word for this view in `?view=` and in the header `Strongroom-View`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hidden => "hidden",
            Self::Masked => "masked",
            Self::References => "references",
            Self::Plaintext => "plaintext",
        }
    }

    /// Reads a view as [`View::as_str`] writes it.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Hidden, Self::Masked, Self::References, Self::Plaintext].into_iter().find(|it| it.as_str() == text)
    }
}

impl fmt::Display for View {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What goes into the gaps.
#[derive(Clone, Copy)]
pub(crate) enum Filling<'a> {
    Hidden,
    Masked,
    References,
    /// The values of [`SecretIndex::kept`], in its order, and behind them those of [`SecretIndex::typed`], where there are
    /// any: else the references of the user stand for themselves.
    Plaintext(&'a [SecretValue]),
}

/// Members that callers without connection parameters do not get: drivers' messages quote connection strings.
pub(crate) const PRIVATE: [&str; 3] = ["connection", "testConnectionResult", "changeDescription"];

#[derive(Debug)]
pub(crate) struct EntityTemplate {
    /// JSON of the path of the entity, without the quote before it.
    path: String,
    text: String,
    parts: Vec<Part>,
    gaps: Vec<Gap>,
}

#[derive(Debug)]
enum Part {
    /// For everyone.
    Public(Range<usize>),
    /// Only with the connection.
    Private(Range<usize>),
    /// The place of a secret, by its number.
    Gap(usize),
}

#[derive(Debug)]
struct Gap {
    /// The number of the value.
    number: usize,
    form: StoredForm,
    /// What stands there where there is no value: the reference that a user typed, or the mask.
    is_typed: bool,
    /// JSON of the mask.
    masked: String,
    /// JSON of the reference.
    reference: String,
}

impl EntityTemplate {
    /// Prepares an entity whose connection has references at the places of the index; it is served at `path`.
    pub(crate) fn new(path: &str, entity: &Map<String, Value>, index: &SecretIndex) -> Self {
        let mut builder = Builder { text: String::new(), parts: Vec::new(), start: 0, gaps: gaps_of(index) };
        for (key, value) in entity {
            builder.text.push(',');
            push_json(&mut builder.text, key);
            builder.text.push(':');
            let is_private = PRIVATE.contains(&key.as_str());
            builder.value(value, if key == "connection" { Some("") } else { None }, is_private);
            builder.end_part(is_private);
        }
        let gaps = builder.gaps.into_iter().map(|(_, gap)| gap).collect();
        let path = format!("{path}\"");
        Self { path, text: builder.text, parts: builder.parts, gaps }
    }

    /// The entity in one view, with `href` first, since it depends on the request.
    pub(crate) fn render(&self, base_url: &str, filling: Filling<'_>) -> String {
        let fixed = self.text.len() + base_url.len() + self.path.len() + 16;
        let mut body = String::with_capacity(fixed + 64 * self.gaps.len());
        body.push_str("{\"href\":");
        push_json(&mut body, base_url);
        body.pop();
        body.push_str(&self.path);
        for part in &self.parts {
            match (part, filling) {
                (Part::Private(_) | Part::Gap(_), Filling::Hidden) => {}
                (Part::Public(range) | Part::Private(range), _) => body.push_str(self.slice(range)),
                (Part::Gap(gap), _) => self.gaps.get(*gap).into_iter().for_each(|gap| gap.fill(&mut body, filling)),
            }
        }
        body.push('}');
        body
    }

    /// About how much memory it takes, in bytes.
    pub(crate) fn weight(&self) -> usize {
        self.text.len() + self.parts.len() * 32 + self.gaps.len() * 160
    }

    fn slice(&self, range: &Range<usize>) -> &str {
        self.text.get(range.clone()).unwrap_or_default()
    }
}

impl Gap {
    fn fill(&self, body: &mut String, filling: Filling<'_>) {
        match filling {
            Filling::Masked | Filling::Hidden => body.push_str(&self.masked),
            Filling::References => body.push_str(&self.reference),
            Filling::Plaintext(values) => {
                let Some(value) = values.get(self.number) else {
                    return body.push_str(if self.is_typed { &self.reference } else { &self.masked });
                };
                // REVEAL: this is the plaintext view, which only an audited admin read renders.
                match self.form {
                    StoredForm::Number => body.push_str(value.reveal()),
                    StoredForm::Text | StoredForm::Embedded => push_json(body, value.reveal()),
                }
            }
        }
    }
}

/// The gaps with the pointers where they belong.
fn gaps_of(index: &SecretIndex) -> Vec<(String, Gap)> {
    let json = |text: &str| Value::from(text).to_string();
    let reference = |name: &str| json(&SecretReference::to_name(name).to_string());
    let kept = index.kept.iter().enumerate().map(|(number, secret)| {
        let (masked, reference) = (json(secret.mask()), reference(&secret.name));
        (secret.pointer.clone(), Gap { number, form: secret.form, is_typed: false, masked, reference })
    });
    let typed = index.typed.iter().zip(index.kept.len()..).map(|(typed, number)| {
        let (masked, reference) = (json(MASK), reference(&typed.name));
        (typed.pointer.clone(), Gap { number, form: StoredForm::Text, is_typed: true, masked, reference })
    });
    kept.chain(typed).collect()
}

fn push_json(text: &mut String, value: &str) {
    let is_plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    if value.bytes().all(is_plain) {
        text.push('"');
        text.push_str(value);
        text.push('"');
    } else {
        text.push_str(&Value::from(value).to_string());
    }
}

struct Builder {
    text: String,
    parts: Vec<Part>,
    start: usize,
    gaps: Vec<(String, Gap)>,
}

impl Builder {
    fn end_part(&mut self, is_private: bool) {
        let range = self.start..self.text.len();
        self.start = self.text.len();
        match self.parts.last_mut() {
            Some(Part::Public(last)) if !is_private && last.end == range.start => last.end = range.end,
            Some(Part::Private(last)) if is_private && last.end == range.start => last.end = range.end,
            _ if range.is_empty() => {}
            _ if is_private => self.parts.push(Part::Private(range)),
            _ => self.parts.push(Part::Public(range)),
        }
    }

    /// Writes a value; `pointer` says where in the connection it stands, so that gaps are found.
    fn value(&mut self, value: &Value, pointer: Option<&str>, is_private: bool) {
        let gap = pointer.and_then(|pointer| self.gaps.iter().position(|(place, _)| place == pointer));
        if let Some(gap) = gap {
            self.end_part(is_private);
            self.parts.push(Part::Gap(gap));
            return;
        }
        match (value, pointer) {
            (Value::Object(members), Some(pointer)) => self.object(members, pointer, is_private),
            (Value::Array(elements), Some(pointer)) => self.array(elements, pointer, is_private),
            _ => self.text.push_str(&value.to_string()),
        }
    }

    fn object(&mut self, members: &Map<String, Value>, pointer: &str, is_private: bool) {
        self.text.push('{');
        for (index, (key, value)) in members.iter().enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            push_json(&mut self.text, key);
            self.text.push(':');
            self.value(value, Some(&below(pointer, key)), is_private);
        }
        self.text.push('}');
    }

    fn array(&mut self, elements: &[Value], pointer: &str, is_private: bool) {
        self.text.push('[');
        for (index, element) in elements.iter().enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            self.value(element, Some(&below(pointer, &index.to_string())), is_private);
        }
        self.text.push(']');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::secret::SecretVersion;
    use crate::secret_swap::{KeptSecret, TypedReference};

    fn template() -> EntityTemplate {
        let entity = json!({
            "id": "1",
            "connection": {"config": {"password": "secret:/a", "pins": [1, "secret:/b"], "host": "h", "token": "secret:t"}},
            "testConnectionResult": {"status": "Failed"},
            "version": 0.1,
        });
        let kept = |pointer: &str, name: &str, form| KeptSecret {
            pointer: pointer.to_owned(),
            name: name.to_owned(),
            version: SecretVersion::new("1"),
            store: None,
            form,
            shown: None,
        };
        let index = SecretIndex {
            kept: vec![
                kept("/config/password", "/a", StoredForm::Text),
                kept("/config/pins/1", "/b", StoredForm::Number),
            ],
            typed: vec![TypedReference { pointer: "/config/token".to_owned(), name: "t".to_owned() }],
        };
        EntityTemplate::new("/1", entity.as_object().unwrap(), &index)
    }

    #[test]
    fn each_view_fills_the_gaps_in_its_own_way() {
        let values = [SecretValue::new("p\"w\n".to_owned()), SecretValue::new("42".to_owned())];
        let template = template();

        insta::assert_snapshot!(template.render("u", Filling::Plaintext(&values)), @r#"{"href":"u/1","id":"1","connection":{"config":{"password":"p\"w\n","pins":[1,42],"host":"h","token":"secret:t"}},"testConnectionResult":{"status":"Failed"},"version":0.1}"#);
        insta::assert_snapshot!(template.render("u", Filling::References), @r#"{"href":"u/1","id":"1","connection":{"config":{"password":"secret:/a","pins":[1,"secret:/b"],"host":"h","token":"secret:t"}},"testConnectionResult":{"status":"Failed"},"version":0.1}"#);
        insta::assert_snapshot!(template.render("u", Filling::Masked), @r#"{"href":"u/1","id":"1","connection":{"config":{"password":"*********","pins":[1,"*********"],"host":"h","token":"*********"}},"testConnectionResult":{"status":"Failed"},"version":0.1}"#);
        insta::assert_snapshot!(template.render("u", Filling::Hidden), @r#"{"href":"u/1","id":"1","version":0.1}"#);
    }
}
