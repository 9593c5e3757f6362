# Keys of the configuration whose name ends in `_file`, and the files of the daemon's own TLS, name files that the daemon's user
# cannot read where they lie: systemd reads them as root when the unit starts and shows them to it alone (systemd.exec(5),
# LoadCredential=).
{ lib }:
let
  isSecret =
    path: value:
    lib.isString value
    && path != [ ]
    && (
      lib.hasSuffix "_file" (lib.last path)
      ||
        lib.take 2 path == [
          "web"
          "listen_tls"
        ]
        && lib.last path != "address"
    );
  # The name of a credential: the key's path, `cameras-yard-credentials_file`.
  name = lib.concatStringsSep "-";

  # [{ path, value }] of every leaf with such a name.
  collect =
    path: value:
    if lib.isAttrs value then
      lib.concatLists (lib.mapAttrsToList (key: collect (path ++ [ key ])) value)
    else
      lib.optional (isSecret path value) { inherit path value; };
in
{
  # Every secret of a configuration: its key, the credential's name, the file on the camera.
  all =
    settings:
    map (
      { path, value }:
      {
        key = lib.concatStringsSep "." path;
        name = name path;
        file = value;
      }
    ) (collect [ ] settings);

  # The configuration with the files where `unit` finds them.
  handedOver =
    unit:
    lib.mapAttrsRecursive (
      path: value: if isSecret path value then "/run/credentials/${unit}/${name path}" else value
    );
}
