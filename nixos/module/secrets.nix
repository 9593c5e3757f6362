# Keys of the configuration whose name ends in `_file`, `public_key_path`, and the files of the daemon's own TLS, name files that the
# daemon's user need not be able to read where they lie: systemd reads them as root when the unit starts and shows them to it alone (systemd.exec(5),
# LoadCredential=).
{ lib }:
let
  isPublic = path: lib.last path == "public_key_path";
  isHandedOver =
    path: value:
    lib.isString value
    && path != [ ]
    && (
      lib.hasSuffix "_file" (lib.last path)
      || isPublic path
      ||
        lib.take 2 path == [
          "web"
          "listen_tls"
        ]
        && lib.last path != "address"
    );
  # The name of a credential: the key's path, `cameras-yard-credentials_file`.
  name = lib.concatStringsSep "-";

  # [{ path, value }] of every leaf that is such a file.
  collect =
    path: value:
    if lib.isAttrs value then
      lib.concatLists (lib.mapAttrsToList (key: collect (path ++ [ key ])) value)
    else
      lib.optional (isHandedOver path value) { inherit path value; };
in
{
  # Every such file of a configuration: its key, the credential's name, where it is on the camera, whether anyone may read it.
  all =
    settings:
    map (
      { path, value }:
      {
        key = lib.concatStringsSep "." path;
        name = name path;
        file = value;
        public = isPublic path;
      }
    ) (collect [ ] settings);

  # The configuration with the files where `unit` finds them.
  handedOver =
    unit:
    lib.mapAttrsRecursive (
      path: value: if isHandedOver path value then "/run/credentials/${unit}/${name path}" else value
    );
}
