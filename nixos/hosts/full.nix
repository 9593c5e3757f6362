# Everything on: several cameras, uploads, the microcontroller, the fan, lists of addresses.
{
  hardware.watchtower.picamera.enable = true;
  services.watchtower = {
    enable = true;
    settings = {
      default_camera = "front";
      storage = {
        max_age_days = 30;
        max_used = 0.9;
      };
      upload.dropbox = {
        app_key = "a1b2c3d4e5f6g7h";
        refresh_token_file = "/var/lib/watchtower-secrets/dropbox.refresh";
      };
      upload.s3 = {
        endpoint = "https://s3.example.org";
        bucket = "cameras";
        access_key_file = "/var/lib/watchtower-secrets/s3.id";
        secret_key_file = "/var/lib/watchtower-secrets/s3.secret";
      };
    };
    cameras = {
      front = {
        label = "Front door";
        source = "v4l2:/dev/watchtower/picamera";
        size = "1640x1232";
        fps = 30;
        zones = [
          {
            name = "road";
            include = false;
            points = [
              [
                0.7
                0.4
              ]
              [
                1
                0.4
              ]
              [
                1
                0.8
              ]
            ];
          }
        ];
        microcontroller = {
          servo_on = 90;
          servo_off = 0;
        };
        upload.public_key_path = "/var/lib/watchtower-secrets/uploads.pem";
      };
      yard = {
        source = "https://192.168.1.30/video.mjpg";
        credentials_file = "/var/lib/watchtower-secrets/yard";
      };
    };
    serial = {
      enable = true;
      parkAngle = 0;
    };
    fan.enable = true;
    gateway = {
      enable = true;
      serverName = "front.example.org";
      certificate = "/var/lib/watchtower-tls/server.pem";
      certificateKey = "/var/lib/watchtower-tls/server.key";
      clientCa = "/var/lib/watchtower-tls/clients-ca.pem";
      allow = [
        "192.168.1.0/24"
        "fd00::/8"
      ];
    };
    firewall.sshFrom = [
      "192.168.1.0/24"
      "fd00::/8"
    ];
  };
}
