# The owner's main server: no camera of its own.
{ lib, ... }:
{
  networking.nftables.enable = true;
  networking.firewall.allowPing = lib.mkDefault false;
  services.watchtower-fleet = {
    enable = true;
    serverName = "cameras.example.org";
    title = "Our cameras";
    cameras = {
      front = {
        address = "192.168.1.31";
        serverName = "front.example.org";
        label = "Front door";
        aliases = [ "camera0" ];
      };
      yard = {
        address = "192.168.1.32";
        serverName = "yard.example.org";
        label = "Yard";
        aliases = [ "camera1" ];
      };
    };
    certificate = "/var/lib/watchtower-tls/server.pem";
    certificateKey = "/var/lib/watchtower-tls/server.key";
    clientCa = "/var/lib/watchtower-tls/clients-ca.pem";
    clientCrl = "/var/lib/watchtower-tls/clients-crl.pem";
    proxyCertificate = "/var/lib/watchtower-tls/proxy.pem";
    proxyCertificateKey = "/var/lib/watchtower-tls/proxy.key";
    cameraCa = "/var/lib/watchtower-tls/servers-ca.pem";
  };
}
