//! The tables that say how the daemon is reached.

use std::net::SocketAddr;
use std::path::PathBuf;

use toml::Spanned;

use super::Check;
use crate::config::file::{Field, FileTable, ListenTlsTable};
use crate::config::value::host_name;
use crate::config::{Listen, ListenTls, Web};

impl Check<'_, '_> {
    pub(super) fn web(&mut self, file: &FileTable) -> Web {
        let table = &file.web;
        let default = Web::default();
        let insecure_listen =
            self.field("web.insecure_listen", &table.insecure_listen, default.insecure_listen, |&v| Ok(v));
        let folder = self.folder;
        let listen = self.field("web.listen", &table.listen, default.listen, |text| match text.parse::<Listen>()? {
            Listen::Unix(path) => Ok(Listen::Unix(folder.join(path))),
            Listen::Tcp(address) if !address.ip().is_loopback() && !insecure_listen => {
                Err("would serve everyone in reach without encryption: listen on 127.0.0.1 behind a proxy, or set \
                     web.insecure_listen = true"
                    .to_owned())
            }
            listen => Ok(listen),
        });
        let mut hosts = Vec::new();
        for (n, host) in table.hosts.iter().enumerate() {
            match host_name(host.get_ref()) {
                Ok(host) => hosts.push(host),
                Err(reason) => self.faults.value(&format!("web.hosts[{n}]"), host.span(), reason),
            }
        }
        Web {
            listen,
            listen_tls: table.listen_tls.as_ref().and_then(|table| self.listen_tls(table)),
            default_role: self
                .field("web.default_role", &table.default_role, default.default_role, |role| role.parse()),
            web_app: self.field("web.web_app", &table.web_app, default.web_app, |&v| Ok(v)),
            hosts,
            insecure_listen,
        }
    }

    /// `None` where something that has to be there is missing or wrong, which has been said then.
    fn listen_tls(&mut self, table: &Spanned<ListenTlsTable>) -> Option<ListenTls> {
        let at = |name: &str| format!("web.listen_tls.{name}");
        let files = table.get_ref();
        let address = self.needed(&at("address"), table, &files.address, "\"0.0.0.0:8443\"", |text| {
            text.parse::<SocketAddr>().map_err(|_| "not an address: write IP:PORT, for example 0.0.0.0:8443".to_owned())
        });
        let mut file = |name: &str, field: &Field<String>| -> Option<PathBuf> {
            let folder = self.folder;
            self.needed(&at(name), table, field, &format!("\"tls/{name}.pem\""), |path| match path.as_str() {
                "" => Err("must not be empty".to_owned()),
                path => Ok(folder.join(path)),
            })
        };
        let certificate = file("certificate", &files.certificate);
        let key = file("key", &files.key);
        let client_ca = file("client_ca", &files.client_ca);
        let crl = files.crl.as_ref().and_then(|_| file("crl", &files.crl));
        Some(ListenTls { address: address?, certificate: certificate?, key: key?, client_ca: client_ca?, crl })
    }

    /// The converted value of a key that has to be in this table.
    fn needed<T, U>(
        &mut self,
        key: &str,
        table: &Spanned<ListenTlsTable>,
        field: &Field<T>,
        example: &str,
        convert: impl FnOnce(&T) -> Result<U, String>,
    ) -> Option<U> {
        if field.is_none() && !self.faults.about(key) {
            let name = key.rsplit('.').next().unwrap_or(key);
            self.faults.key(key, table.span(), format!("is missing: for example {name} = {example}"));
        }
        self.field(key, field, None, |value| convert(value).map(Some))
    }
}
