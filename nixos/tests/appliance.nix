# The module on a virtual machine: gateway, sandbox and socket, as `nix flake check` runs it where there is KVM. Cameras, faults and
# power cuts are tests/vm's, which needs no Nix.
{ module, pkgs }:
pkgs.testers.runNixOSTest {
  name = "watchtower";
  nodes.camera =
    { lib, ... }:
    {
      imports = [ module ];
      networking.hosts."127.0.0.1" = [ "front.example.org" ];
      services.watchtower = {
        enable = true;
        cameras.front = {
          source = "pattern";
          size = "640x360";
        };
        settings.storage.max_used = 0.95;
        gateway = {
          enable = true;
          serverName = "front.example.org";
          certificate = "/var/lib/watchtower-tls/server.pem";
          certificateKey = "/var/lib/watchtower-tls/server.key";
          clientCa = "/var/lib/watchtower-tls/clients-ca.pem";
        };
      };
      services.openssh.enable = true;
      # Made by the test, as the owner makes them.
      systemd.services.nginx.wantedBy = lib.mkForce [ ];
      environment.systemPackages = [
        pkgs.curl
        pkgs.openssl
      ];
    };
  testScript = ''
    camera.wait_for_unit("watchtower.service")
    camera.succeed(
        "watchtower pki --dir /root/pki init",
        "watchtower pki --dir /root/pki server front front.example.org",
        "watchtower pki --dir /root/pki client owner --role admin",
        "mkdir -p /var/lib/watchtower-tls",
        "cp /root/pki/front.pem /var/lib/watchtower-tls/server.pem",
        "cp /root/pki/front.key /var/lib/watchtower-tls/server.key",
        "cp /root/pki/ca.pem /var/lib/watchtower-tls/clients-ca.pem",
        "systemctl start nginx.service",
    )
    camera.wait_for_open_port(443)
    ask = "curl --silent --cacert /root/pki/ca.pem --output /tmp/answer --write-out '%{http_code}' https://front.example.org"
    mine = "--cert /root/pki/owner.pem --key /root/pki/owner.key"
    assert camera.succeed(f"{ask}/api/cameras") == "400"
    assert camera.succeed(f"{ask}/api/cameras {mine}") == "200"
    assert camera.succeed(f"{ask}/etc/passwd {mine}") == "404"
    camera.wait_until_succeeds(f"[ $({ask}/api/snapshot.jpg {mine}) = 200 ]")
    camera.fail("su -s /bin/sh watchtower -c 'test -r /var/lib/watchtower-tls/server.key'")
    level = camera.succeed("systemd-analyze security watchtower.service --no-pager | tail -1 | grep -oE '[0-9]+\\.[0-9]+'")
    assert float(level) <= 1.5, level
    camera.fail("journalctl --unit watchtower --priority err --grep .")
  '';
}
