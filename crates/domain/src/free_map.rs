//! Which keys of a free map hold secrets: no schema says so, only their names do.

/// A key that contains one of these, whatever its case and punctuation, holds a secret.
const PARTS: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
    "token",
    "secret",
    "key",
    "credential",
    "authorization",
    "cookie",
    "bearer",
    "jwt",
    "private",
    "signature",
    "certificate",
    "jaas",
    "connectionstring",
    "dsn",
];

/// A key that has one of these as a word holds a secret (`auth`, `db_pass`), but not as a part (`author`, `bypass`).
const WORDS: &[&str] = &["auth", "pass", "pw", "pin", "sas", "sig", "otp"];

/// Names that contain one of [`PARTS`] and hold none, each reviewed.
const NOT_SECRET: &[&str] = &[
    "accesskeyid",            // names an AWS key pair, as a user name does
    "awsaccesskeyid",         // the same
    "privatekeyid",           // names a key of a GCP service account
    "kmskeyid",               // names a key that never leaves KMS
    "tokenuri",               // an address
    "tokenurl",               // an address
    "tokenendpoint",          // an address
    "keyspace",               // Cassandra's word for a schema
    "keyserializer",          // a class name
    "keydeserializer",        // a class name
    "keyfile",                // a path on the worker
    "keypath",                // a path on the worker
    "privatekeypath",         // a path on the worker
    "sslkeylocation",         // a path on the worker
    "sslcertificatelocation", // a path on the worker
    "keepalive",              // a time
    "primarykey",             // names columns
    "partitionkey",           // names a column
    "sortkey",                // names a column
    "foreignkey",             // names columns
    "tokentype",              // a kind such as Bearer
    "secretname",             // names a secret elsewhere
];

/// Decides whether a key of a free map looks like that of a secret.
#[derive(Clone, Debug, Default)]
pub struct SecretWords {
    added: Vec<String>,
}

impl SecretWords {
    /// The built-in words and those that an operator adds.
    pub fn with(added: &[String]) -> Self {
        let added = added.iter().map(|word| letters_and_digits(word)).filter(|word| !word.is_empty()).collect();
        Self { added }
    }

    /// Says whether the value under this key is a secret. Errs on the side of yes.
    pub fn look_secret(&self, key: &str) -> bool {
        let plain = letters_and_digits(key);
        if self.added.iter().any(|word| plain.contains(word.as_str())) {
            return true;
        }
        if NOT_SECRET.contains(&plain.as_str()) {
            return false;
        }
        PARTS.iter().any(|part| plain.contains(part)) || words(key).any(|word| WORDS.contains(&word.as_str()))
    }
}

fn letters_and_digits(key: &str) -> String {
    key.chars().filter(|character| character.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The words of a key, split at punctuation and digits and before capitals.
fn words(key: &str) -> impl Iterator<Item = String> {
    let mut spaced = String::with_capacity(key.len() + 4);
    let mut after_small = false;
    for character in key.chars() {
        if character.is_uppercase() && after_small || !character.is_alphabetic() {
            spaced.push(' ');
        }
        after_small = character.is_lowercase();
        spaced.extend(character.to_lowercase());
    }
    spaced.split(|character: char| !character.is_alphabetic()).map(str::to_owned).collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("password")]
    #[case("PASSWORD")]
    #[case("sasl.password")]
    #[case("db_pass")]
    #[case("dbPass")]
    #[case("pass2")]
    #[case("X-Api-Key")]
    #[case("api_key")]
    #[case("Authorization")]
    #[case("auth")]
    #[case("Set-Cookie")]
    #[case("sasl.jaas.config")]
    #[case("basic.auth.user.info")]
    #[case("ssl.key.pem")]
    fn keys_of_credentials_look_secret(#[case] key: &str) {
        assert!(SecretWords::default().look_secret(key));
    }

    #[rstest]
    #[case("author")]
    #[case("bypass")]
    #[case("keyspace")]
    #[case("key.serializer")]
    #[case("awsAccessKeyId")]
    #[case("token_uri")]
    #[case("timeout")]
    #[case("ssl.ca.location")]
    fn other_keys_do_not(#[case] key: &str) {
        assert!(!SecretWords::default().look_secret(key));
    }

    #[test]
    fn an_operator_can_add_words_even_for_names_known_as_harmless() {
        let words = SecretWords::with(&["session-nr".to_owned(), "keyspace".to_owned()]);

        assert!(words.look_secret("mySessionNr"));
        assert!(words.look_secret("keyspace"));
    }
}
