# One USB camera behind the gateway, its recordings on a disk of their own.
{
  services.watchtower = {
    enable = true;
    cameras.front = {
      label = "Front door";
      source = "v4l2:/dev/v4l/by-id/usb-046d_HD_Pro_Webcam_C920-video-index0";
    };
    settings.storage = {
      path = "/srv/watchtower";
      max_used = 0.9;
    };
    gateway = {
      enable = true;
      serverName = "front.example.org";
      certificate = "/var/lib/watchtower-tls/server.pem";
      certificateKey = "/var/lib/watchtower-tls/server.key";
      clientCa = "/var/lib/watchtower-tls/clients-ca.pem";
    };
  };
}
