//! What somebody may do: the three roles and their order. Who has which is in their certificate (`pki::certificate`), what
//! each request needs is said beside its route (`web`).

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// What somebody may do. Each may what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look: live pictures, recordings, states.
    Viewer,
    /// Run a camera: start, stop, record, protect.
    Operator,
    /// Change settings, delete.
    Admin,
}

impl Role {
    /// All of them, the least first.
    pub const ALL: [Role; 3] = [Role::Viewer, Role::Operator, Role::Admin];

    /// As it is written in a certificate and in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    /// The exact word.
    fn from_str(text: &str) -> Result<Self, String> {
        Role::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| "must be \"viewer\", \"operator\" or \"admin\"".to_owned())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_read_as_it_is_written_and_includes_the_lesser_ones() {
        for role in Role::ALL {
            assert_eq!(role.to_string().parse::<Role>().unwrap(), role);
        }
        assert!(Role::Viewer < Role::Operator && Role::Operator < Role::Admin);
        assert!("Admin".parse::<Role>().is_err() && "".parse::<Role>().is_err());
    }
}
